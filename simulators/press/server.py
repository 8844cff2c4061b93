"""An asyncua server for the press, built as fast as asyncua allows, with or without security."""

import asyncio
import gc
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asyncua import ua
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.ua.uaerrors import BadTooManySessions

from simulators.press.certificate import Certificate
from simulators.press.queues import mark_what_is_lost
from simulators.press.settings import PressSimulation
from simulators.press.types import OWN
from simulators.press.wire import GatedServer

_pristine: list[bytes] = []  # the standard address space as this process has built it once


async def make_server(settings: PressSimulation, certificate: Certificate | None, *, keep_a_copy: bool) -> GatedServer:
    """Make a server with the standard address space, not listening yet.

    With `keep_a_copy` later servers of this process start from a copy of the first one's nodes.
    """
    server = GatedServer(iserver=_Core(keep_a_copy=keep_a_copy))
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{settings.port}")
    server.set_server_name(f"Kvot simulated press {settings.name}")
    server.product_uri = OWN
    await server.set_application_uri(f"{OWN}:{settings.name}")
    if certificate is None:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    else:
        await server.load_certificate(certificate.path)
        await server.load_private_key(certificate.key_path)
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    server.set_identity_tokens([ua.AnonymousIdentityToken])
    return server


class _Core(InternalServer):
    """asyncua's internal server; the standard nodes are taken from this process's first one if kept."""

    def __init__(self, *, keep_a_copy: bool) -> None:
        super().__init__()
        self._keep_a_copy = keep_a_copy
        self.sessions_max: int | None = None
        mark_what_is_lost(self.subscription_service)

    def let_types_change(self) -> None:
        """Let values take another data type than before, as where a controller's program was changed."""
        self.aspace._is_expected_variant_type = lambda *_: True  # type: ignore[method-assign]  # noqa: SLF001

    def create_session(self, name: str, *more: Any, **named: Any) -> InternalSession:
        """Make a session, or refuse it where there are as many as there may be."""
        open_now = len(self._external_sessions)
        if self.sessions_max is not None and named.get("external") and open_now >= self.sessions_max:
            raise BadTooManySessions
        return super().create_session(name, *more, **named)

    async def load_standard_address_space(self, shelf_file: object = None) -> None:  # noqa: ARG002 - asyncua's signature
        """Fill the address space, from the copy where there is one."""
        if _pristine:
            self.aspace._nodes = await asyncio.to_thread(pickle.loads, _pristine[0])  # noqa: SLF001
            return
        await super().load_standard_address_space()
        if self._keep_a_copy:
            nodes = self.aspace._nodes  # noqa: SLF001
            _pristine.append(await asyncio.to_thread(pickle.dumps, nodes, pickle.HIGHEST_PROTOCOL))

    async def stop(self) -> None:
        """Stop at once: asyncua's own clock is asleep for up to a second."""
        clock, self.time_task = self.time_task, None
        if clock is not None:
            clock.cancel()
            await asyncio.wait([clock])
        await super().stop()


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Let some 100,000 objects that all stay be built without looking through them again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
