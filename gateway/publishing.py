"""Settings become the stage that speaks with the broker: facts, mirrors and samples out, commands about prices in."""

from collections.abc import Coroutine
from functools import partial
from typing import Any, Never

from gateway.clock import SystemClock
from gateway.ledger.database import Ledger
from gateway.settings import Settings
from gateway.stages.board import Board
from gateway.stages.price_commands import follow_commands
from gateway.stages.pricing import Pricing
from gateway.stages.publish import DESTINATION, publish
from gateway.stages.report import drain
from gateway.stages.samples_out import SamplesOut
from gateway.uplink.base import BrokerAccess
from gateway.uplink.spool import Spool
from gateway.uplink.topics import Topics


def publisher(
    settings: Settings,
    spool: Spool | None,
    *,
    gateway_id: str,
    pricing: Pricing,
    ledger: Ledger,
    board: Board,
    clock: SystemClock,
    log: Any,
) -> Coroutine[Any, Any, Never]:
    """Give the stage to run; without a broker, the one that lets facts go."""
    mqtt = settings.mqtt
    if mqtt is None or spool is None:
        return drain(DESTINATION, ledger=ledger, clock=clock)
    access = BrokerAccess(
        url=mqtt.url,
        client_id=gateway_id,
        username=mqtt.username,
        password=None if mqtt.password is None else mqtt.password.reveal(),
        ca_file=mqtt.ca,
        receive_maximum=mqtt.receive_maximum,
        ack_deadline_s=mqtt.ack_deadline_s,
    )
    topics = Topics(
        base=settings.mqtt_base,
        gateway_id=gateway_id,
        machines={name: (machine.area, machine.line) for name, machine in settings.machines.items()},
    )
    samples = SamplesOut(
        spool,
        topics,
        clock,
        in_flight=mqtt.receive_maximum,
        history_per_s=settings.spool.history_per_s,
    )
    follow = partial(
        follow_commands, topic=topics.pricing_control, ledger=ledger, pricing=pricing, clock=clock, log=log
    )
    return publish(
        ledger,
        board,
        access=access,
        topics=topics,
        clock=clock,
        log=log,
        samples=samples,
        follow=follow,
    )
