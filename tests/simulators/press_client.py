"""A plain asyncua client of the press, with types read from the server and its namespaces resolved by URI."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.ua_binary import struct_to_binary

JC = "http://opcfoundation.org/UA/ISA95-JOBCONTROL_V2/"
MJ = "http://opcfoundation.org/UA/Machinery/Jobs/"
MA = "http://opcfoundation.org/UA/Machinery/"
OWN = "urn:kvot:simulator:press"

NO_COMMENT = ua.Variant([], ua.VariantType.LocalizedText, is_array=True)


class PressClient:
    """One session; job orders are built from the classes asyncua has generated for this server."""

    def __init__(self, client: Client, namespaces: list[str]) -> None:
        self.client = client
        self.jc = namespaces.index(JC)
        self.ma = namespaces.index(MA)
        self.mj = namespaces.index(MJ)
        self.own = namespaces.index(OWN)

    def own_node(self, path: str) -> Any:
        return self.client.get_node(f"ns={self.own};s={path}")

    async def read(self, path: str) -> Any:
        return await self.own_node(path).read_value()

    def order(self, job_id: str, *, runs: int = 3, priority: int | None = None, index: int | None = None) -> Any:
        """Give an extension object with this server's own type id, or with a wrong namespace index."""
        types: Any = ua
        parameter = types.ISA95ParameterDataType(ID="RunsPlanned", Value=ua.Variant(runs, ua.VariantType.UInt32))
        order = types.ISA95JobOrderDataType(
            JobOrderID=job_id,
            Priority=priority,
            WorkMasterID=[types.ISA95WorkMasterDataType(ID="tray", Parameters=[])],
            JobOrderParameters=[parameter],
        )
        type_id = ua.NodeId.from_string(f"ns={self.jc if index is None else index};i=5014")
        return ua.ExtensionObject(TypeId=type_id, Body=ua.ByteString(struct_to_binary(order)))

    async def call(self, method: str, subject: Any) -> int:
        control = self.own_node("Press.Control")
        async with asyncio.timeout(5):
            return int(await control.call_method(f"{self.jc}:{method}", subject, NO_COMMENT))

    async def send(self, job_id: str, **wanted: Any) -> int:
        return await self.call("StoreAndStart", self.order(job_id, **wanted))

    async def jobs(self) -> dict[str, int]:
        entries = await self.read("Press.Control.List")
        return {entry.JobOrder.JobOrderID: entry.State[0].StateNumber for entry in entries}

    async def methods(self) -> set[str]:
        nodes = await self.own_node("Press.Control").get_methods()
        return {(await node.read_browse_name()).Name for node in nodes}

    async def response(self, job_id: str) -> tuple[Any, int]:
        results = self.own_node("Press.Results")
        response, status = await results.call_method(f"{self.jc}:RequestJobResponseByJobOrderID", job_id)
        return response, int(status)


@asynccontextmanager
async def connected(endpoint: str) -> AsyncIterator[PressClient]:
    # No watchdog: the loop of a module stands still between its tests, and building a server holds it for seconds.
    client = Client(endpoint, timeout=30, watchdog_intervall=3600)
    async with session(client) as press:
        yield press


def _forget_types() -> None:
    """Take off the library's module what other tests left there: it passes for registered, though nothing decodes it."""
    for name in [name for name in vars(ua) if name.startswith("ISA95")]:
        delattr(ua, name)


@asynccontextmanager
async def session(client: Client) -> AsyncIterator[PressClient]:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    async with asyncio.timeout(10):
        await client.connect()
    try:
        async with asyncio.timeout(10):
            namespaces = await client.get_namespace_array()
            if JC in namespaces:
                _forget_types()
                await client.load_data_type_definitions(overwrite_existing=True)
        yield PressClient(client, namespaces)
    finally:
        async with asyncio.timeout(10):
            await client.disconnect()
