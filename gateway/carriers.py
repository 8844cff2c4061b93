"""Settings become the stages that carry files of order lines: one per shop, one per machine, one that tidies."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from gateway.clock import Clock
from gateway.domain.products import Range
from gateway.files.store import FileStore
from gateway.ledger.database import Ledger
from gateway.ledger.files import FOLDER
from gateway.settings import Settings
from gateway.settings.models import ShopSettings
from gateway.shops.fetching import FetchAccess, open_fetcher
from gateway.stages.deliver import Porter, tidy_files
from gateway.stages.fetch import Asked, FileStage

Run = Callable[[], Coroutine[Any, Any, NoReturn]]
_PORTS: Final = {"https": 443, "http": 80}


@asynccontextmanager
async def open_carriers(
    settings: Settings, made: Range, *, state_dir: Path, ledger: Ledger, clock: Clock, log: Any
) -> AsyncIterator[Mapping[str, Run]]:
    """Give the stages by task name; they also run where no article asks for a file, for lines that once did."""
    store = FileStore(state_dir / FOLDER)
    asked = Asked.of(made.products)
    runs: dict[str, Run] = {"tidy files": partial(tidy_files, store, ledger=ledger, clock=clock, log=log)}
    for name, machine in settings.machines.items():
        porter = Porter(machine=name, folder=machine.hot_folder, store=store, ledger=ledger, clock=clock, log=log)
        runs[f"deliver {name}"] = porter.run
    async with AsyncExitStack() as stack:
        for name, shop in settings.shops.items():
            fetcher = await stack.enter_async_context(open_fetcher(fetch_access(name, shop)))
            stage = FileStage(name, fetcher, asked, store, ledger=ledger, clock=clock, log=log)
            runs[f"fetch {name}"] = stage.run
        yield runs


def fetch_access(name: str, shop: ShopSettings) -> FetchAccess:
    """Say where a shop's files may come from: the hosts it lists, by default its own alone."""
    parts = urlsplit(shop.url)
    host = parts.hostname or ""
    own = f"[{host}]" if ":" in host else host
    hosts = shop.file_hosts if shop.file_hosts is not None else (f"{own}:{parts.port or _PORTS[parts.scheme]}",)
    return FetchAccess(name=name, hosts=frozenset(hosts), plain=parts.scheme == "http", timeout_s=shop.file_timeout_s)
