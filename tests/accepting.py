"""A connection that a server accepts in the moment it closes is closed too, and fails no test at random."""

import asyncio
import socket
from asyncio.selector_events import BaseSelectorEventLoop
from typing import Any

# asyncio accepts in one turn of the loop and makes the transport in the next. A server closed in between refuses
# the transport, and nobody closes the socket: it is collected during some later test, with a ResourceWarning.
_accept: Any = BaseSelectorEventLoop._accept_connection2  # type: ignore[attr-defined]


async def _accept_unless_closed(
    loop: BaseSelectorEventLoop,
    protocol_factory: Any,
    conn: socket.socket,
    *rest: Any,
) -> None:
    server = next((one for one in rest if isinstance(one, asyncio.Server)), None)
    if server is not None and not server.sockets:
        conn.close()
        return
    await _accept(loop, protocol_factory, conn, *rest)


def close_what_is_accepted_too_late() -> None:
    """Take effect in this process."""
    BaseSelectorEventLoop._accept_connection2 = _accept_unless_closed  # type: ignore[attr-defined]
