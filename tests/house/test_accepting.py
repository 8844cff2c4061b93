"""A server that closes in the moment it accepts leaves nothing that is collected later."""

import asyncio
import gc
import socket

import pytest


@pytest.mark.parametrize("turns", range(4))
async def test_a_server_closed_in_any_turn_of_the_loop_leaves_no_connection_open(turns: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()):
        for _ in range(turns):
            await asyncio.sleep(0)
        server.close()
        await server.wait_closed()
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
    gc.collect()  # what nobody has closed is an error here, by the warning filters
    assert not server.sockets
