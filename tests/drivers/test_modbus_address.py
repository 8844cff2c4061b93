"""Addresses of Modbus machines, and what is wrong with others."""

import pytest

from drivers.modbus.address import Bus, Transport, parse_address


@pytest.mark.parametrize(
    ("url", "bus", "unit"),
    [
        ("modbus://192.0.2.7", Bus(transport=Transport.TCP, place="192.0.2.7", port=502), 1),
        ("modbus://plc.example:1502/0", Bus(transport=Transport.TCP, place="plc.example", port=1502), 0),
        ("modbus://[::1]:502/255", Bus(transport=Transport.TCP, place="::1", port=502), 255),
        ("modbus+rtu://192.0.2.7:4001/17", Bus(transport=Transport.RTU_OVER_TCP, place="192.0.2.7", port=4001), 17),
        (
            "modbus+serial://19200-8E1/dev/ttyUSB0/3",
            Bus(transport=Transport.SERIAL, place="/dev/ttyUSB0", baud=19200, parity="E", stop_bits=1),
            3,
        ),
    ],
)
def test_an_address_names_a_bus_and_a_unit(url: str, bus: Bus, unit: int) -> None:
    assert parse_address(url) == (bus, unit)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "opc.tcp://host:4840",
        "modbus://",
        "modbus://host:port",
        "modbus://user@host/1",
        "modbus://host/256",
        "modbus://host/x",
        "modbus://host/²",
        "modbus://host/a/1",
        "modbus://host/1?x=1",
        "modbus+rtu://host/1",
        "modbus+rtu://host:1/0",
        "modbus+rtu://host:1/248",
        "modbus+rtu://host:1",
        "modbus+serial://19200-8E1/1",
        "modbus+serial://19200-7E1/dev/ttyS0/1",
        "modbus+serial://fast-8E1/dev/ttyS0/1",
        "modbus+serial://0-8E1/dev/ttyS0/1",
        "modbus+serial://19200/dev/ttyS0/1",
    ],
)
def test_what_is_no_address_is_refused_in_words(url: str) -> None:
    with pytest.raises(ValueError, match=r"write|must end|names no"):
        parse_address(url)
