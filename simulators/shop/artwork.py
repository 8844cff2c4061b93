"""Pictures that customers have uploaded: `/artwork/N.png`, each another grey, and what can go wrong with them."""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from simulators.shop.customers import Visit
from simulators.shop.faults import FaultKind, Faults
from simulators.shop.values import Wanted

SIDE_PX = 709  # 60 mm at 300 dpi
DOTS_A_METRE = 11811
PAGE = "<!DOCTYPE html><html lang='sv'><title>Logga in</title><body>Logga in för att se filen.</body></html>"
HUGE_BYTES, PIECE_BYTES, DRIP_S = 80_000_000, 1_000_000, 0.05


def artwork(number: int) -> bytes:
    """Give the picture of that number as PNG; the same number always gives the same bytes."""
    header = struct.pack(">IIBBBBB", SIDE_PX, SIDE_PX, 8, 0, 0, 0, 0)
    rows = (b"\x00" + bytes([number % 256]) * SIDE_PX) * SIDE_PX
    physical = struct.pack(">IIB", DOTS_A_METRE, DOTS_A_METRE, 1)
    note = b"Comment\x00picture %d" % number
    parts = ((b"IHDR", header), (b"pHYs", physical), (b"tEXt", note), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts)


def with_artwork(visits: Sequence[Visit], site: str) -> tuple[Visit, ...]:
    """Let each tray that is ordered carry the address of a picture, as upload plugins do: with a key in it."""

    def carrying(line: Wanted, customer: int) -> Wanted:
        if not line.sku.startswith("TRAY-"):
            return line
        url = f"{site}/artwork/{customer}.png?key=upload-{customer:08d}"
        return replace(line, options={**line.options, "artwork_url": url})

    return tuple(
        replace(visit, lines=tuple(carrying(line, visit.customer) for line in visit.lines)) for visit in visits
    )


def artwork_route(faults: Faults) -> Route:
    """Give the address of the pictures."""

    async def picture(request: Request) -> Response:
        if faults.take(FaultKind.ARTWORK_MISSING, "GET"):
            return HTMLResponse("<h1>Not Found</h1>", 404)
        if faults.take(FaultKind.ARTWORK_HTML, "GET"):
            return HTMLResponse(PAGE, 200)
        if faults.take(FaultKind.ARTWORK_MOVED, "GET"):
            return RedirectResponse("http://127.0.0.1:1/internal", 302)
        if faults.take(FaultKind.ARTWORK_HUGE, "GET"):
            return StreamingResponse(_huge(), media_type="image/png")
        body = artwork(int(request.path_params["number"]))
        if faults.take(FaultKind.ARTWORK_DRIP, "GET"):
            return StreamingResponse(_drip(body), media_type="image/png")
        return Response(body, media_type="image/png")

    return Route("/artwork/{number:int}.png", picture, methods=["GET"])


async def _huge() -> AsyncIterator[bytes]:
    for _ in range(HUGE_BYTES // PIECE_BYTES):
        yield bytes(PIECE_BYTES)


async def _drip(body: bytes) -> AsyncIterator[bytes]:
    for place in range(len(body)):
        await asyncio.sleep(DRIP_S)
        yield body[place : place + 1]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
