"""`kvot stations` and `kvot trace`: a ticket from the board to the trace, for people and for programs."""

import getpass
import json

from gateway.cli import exits
from tests.api.test_control import Caller
from tests.api.test_stations import bench as bench  # noqa: PLC0414 - a fixture
from tests.cli.test_verbs import Kvot
from tests.eventually import eventually
from tests.stages.factory import PRESS


async def test_a_person_works_a_ticket_off_by_the_command_line(bench: Caller) -> None:
    kvot = Kvot(bench.path)
    assert "TRAY-12" in await kvot("stations", "list")
    (listed,) = json.loads(await kvot("stations", "list", "--output", "json"))
    (ticket,) = listed["tickets"]
    job = ticket["job_id"]
    refusal = await kvot("stations", "done", PRESS, job, exits_with=exits.REFUSED)
    assert "not begun" in refusal
    begun = json.loads(await kvot("stations", "start", PRESS, job, "--output", "json"))
    assert (begun["phase"], begun["by"]) == ("running", f"person:{getpass.getuser()}")
    assert await kvot("stations", "report", PRESS, job, "--good", "2") == ""
    words = ("stations", "report", PRESS, job, "--good", "1", "--scrap", "1", "--reason", "torn box")
    counted = json.loads(await kvot(*words, "--output", "json"))
    assert (counted["good"], counted["scrap"], counted["reason"]) == (3, 1, "torn box")
    ended = json.loads(await kvot("stations", "done", PRESS, job, "--output", "json"))
    assert ended["phase"] == "ended"
    assert "empty" in await kvot("stations", "list")

    async def completed() -> bool:
        return await bench.factory.job_state() == "completed"

    await eventually(completed)
    order = json.loads(await kvot("trace", "1", "--output", "json"))
    assert order["lines"][0]["steps"][0]["jobs"][0]["lot"] == job
    lot = json.loads(await kvot("trace", job, "--output", "json"))
    assert lot["orders"][0]["number"] == "1001"
    for subject in ("1", job):
        table = await kvot("trace", subject)
        assert job in table
        assert "TRAY-12" in table


async def test_what_cannot_be_traced_is_said_in_one_line(bench: Caller) -> None:
    kvot = Kvot(bench.path)
    assert "no order 99" in await kvot("trace", "99", exits_with=exits.FAILURE)
    assert "no lot LUND-9-9" in await kvot("trace", "LUND-9-9", exits_with=exits.FAILURE)


async def test_negative_counts_are_a_matter_of_usage(bench: Caller) -> None:
    await Kvot(bench.path)("stations", "report", PRESS, "J", "--good", "-1", exits_with=exits.USAGE)
