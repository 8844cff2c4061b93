"""The life of a simulated Modbus machine as a process: settings that fit are served, others are told."""

import asyncio

import pytest

from simulators import modbus_program


def test_settings_that_do_not_fit_are_told_in_one_line_and_nothing_is_served(
    capsys: pytest.CaptureFixture[str],
) -> None:
    served: list[str] = []

    def read() -> str:
        raise ValueError("cycle must be above 0")

    async def serve(settings: str, _stop: asyncio.Event) -> None:
        served.append(settings)

    assert modbus_program.run(read, serve) == 2
    assert capsys.readouterr().err == "cycle must be above 0\n"
    assert served == []


def test_settings_that_fit_are_served_until_that_ends() -> None:
    served: list[str] = []

    async def serve(settings: str, stop: asyncio.Event) -> None:
        assert not stop.is_set()
        served.append(settings)

    assert modbus_program.run(lambda: "an oven", serve) == 0
    assert served == ["an oven"]
