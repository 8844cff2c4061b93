"""The broker -> ledger: commands that restrict prices; whatever else comes there is refused with a line in the log."""

from functools import partial
from typing import Any, Final, Never

import orjson

from gateway.clock import Clock
from gateway.domain.price_commands import FREEZE, Command, read_command
from gateway.domain.pricing import Mode
from gateway.ledger import pricing_control
from gateway.ledger.database import Ledger, Tx
from gateway.stages.pricing import Pricing
from gateway.uplink.base import DeafError, Message, Uplink

BY: Final = "mqtt"


async def follow_commands(
    uplink: Uplink, *, topic: str, ledger: Ledger, pricing: Pricing, clock: Clock, log: Any
) -> Never:
    """Follow the commands that come over one connection, until it ends.

    A command is never retained, carries an id (followed once) and when it expires, and may only restrict.
    """
    try:
        async for heard in uplink.hear(topic):
            try:
                command = _read(heard, pricing, clock)
            except ValueError as fault:  # also what is no JSON
                log.warning("price command refused", topic=topic, reason=str(fault))
                continue
            done = await ledger.write(partial(_restrict, command=command, clock=clock))
            log.info("price command", id=command.command_id, action=command.action, family=command.family, done=done)
    except DeafError as fault:  # what is published goes on
        log.warning("price commands are not heard", topic=topic, reason=str(fault))
    await uplink.ended()


def _read(heard: Message, pricing: Pricing, clock: Clock) -> Command:
    if heard.retained:
        raise ValueError("it is retained, so nobody knows how old it is")
    return read_command(orjson.loads(heard.payload), families=pricing.families(), now=clock.now())


def _restrict(tx: Tx, *, command: Command, clock: Clock) -> bool:
    """Do it, unless it was done before or something stricter holds already; say whether."""
    if pricing_control.heard(tx, command.family, command.command_id):
        return False
    now, known = clock.now(), pricing_control.acts(tx)
    here = [one for one in known.said if one.family == command.family]
    if command.action == FREEZE:
        if any(one.frozen for one in here):
            return False
        pricing_control.freeze(tx, command.family, who=BY, now=now, reason=command.reason, command=command.command_id)
        return True
    if any(one.mode in {Mode.ADVISE, Mode.OFF} for one in here):
        return False
    pricing_control.set_mode(tx, command.family, Mode.ADVISE, who=BY, now=now, command=command.command_id)
    return True
