"""Builds everything from the settings and supervises it: one TaskGroup, signals, readiness, watchdog."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import structlog

from drivers.base import Driver, Security
from drivers.catalog import open_driver, open_station, own_certificate
from drivers.link import Links
from drivers.profile import Profile, Recipe
from gateway import __version__, sdnotify
from gateway.api.app import create_app
from gateway.api.desk import Desk, Place
from gateway.api.serve import control_socket, serve
from gateway.clock import SystemClock
from gateway.domain.intake import Catalogue, DueRule
from gateway.domain.machines import Level
from gateway.domain.pricing import FamilyRules, Release
from gateway.ledger import exceptions, machines
from gateway.ledger.database import Ledger, Tx, open_ledger
from gateway.ledger.facts import milliseconds
from gateway.settings import Settings
from gateway.settings.build_rules import to_family_rules
from gateway.settings.models import MachineSettings, SecuritySettings, ShopSettings
from gateway.shops.access import ShopAccess
from gateway.shops.base import Shop
from gateway.shops.catalog import open_shop
from gateway.stages.board import Board
from gateway.stages.intake import Intake, intake
from gateway.stages.kpi import watch_kpis
from gateway.stages.plan import Floor, planning_stage
from gateway.stages.publish import publish
from gateway.stages.report import drain, report
from gateway.stages.sample import Sampling
from gateway.stages.samples_out import SamplesOut
from gateway.stages.tend import Machine, tend
from gateway.uplink.base import BrokerAccess
from gateway.uplink.samples import Encoder
from gateway.uplink.spool import Limits, Policy, Spool, open_spool
from gateway.uplink.topics import Topics

STATION = "station"  # the protocol of a place where a person works
UNKNOWN_PRICE_MINOR = 1_000_000_00  # stands in for a list price nobody has told: no break-even holds a release back
PULSE_S = 5.0  # how often progress is proven and health is published


class _StopAskedError(Exception):
    """SIGTERM or SIGINT came: leave in order."""


async def run(settings: Settings, *, state_dir: Path, socket: Path) -> None:
    """Run the gateway until SIGTERM; raise what no stage can survive, so that the restart recovers.

    A machine, shop or broker that is away is a state, never a reason not to start.
    """
    log = structlog.get_logger("kvot")
    clock = settings.clock()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    commit_s = settings.ledger.commit_interval_ms / 1000
    async with open_ledger(
        state_dir, site=settings.site.id, commit_interval_s=commit_s, batch=settings.ledger.batch
    ) as ledger:
        board = Board()
        house = _House(settings, state_dir=state_dir, ledger=ledger, board=board, clock=clock, log=log)
        desk = house.desk()
        with control_socket(socket) as bound:
            async with house.shops() as shops, house.spool() as spool:
                await ledger.write(house.enrol)
                try:
                    async with asyncio.TaskGroup() as group:
                        house.start(group, shops, spool)
                        group.create_task(serve(create_app(desk), bound), name="api")
                        group.create_task(house.pulse(), name="pulse")
                        group.create_task(_stopped(stop), name="stop")
                        sdnotify.notify_ready(f"{len(shops)} shops, {len(settings.machines)} machines")
                        log.info(
                            "gateway running",
                            version=__version__,
                            site=ledger.site,
                            boot=ledger.boot,
                            socket=str(socket),
                        )
                except* _StopAskedError:
                    sdnotify.notify_stopping()
                    log.info("gateway stopping")


class _House:
    """Turns settings into the arguments of each stage."""

    def __init__(
        self, settings: Settings, *, state_dir: Path, ledger: Ledger, board: Board, clock: SystemClock, log: Any
    ) -> None:
        self._settings, self._state_dir = settings, state_dir
        self._ledger, self._board, self._clock, self._log = ledger, board, clock, log
        self._range = settings.range()
        self._profiles = {name: settings.profile(name) for name in settings.machines}
        self._links = Links()
        self._stations = {
            name: open_station(name=name, path=state_dir / "stations" / f"{name}.jsonl", now=clock.now)
            for name, profile in self._profiles.items()
            if profile.protocol == STATION
        }
        self._gateway_id = (settings.mqtt.client_id if settings.mqtt else None) or f"kvot-{settings.site.id}"

    def desk(self) -> Desk:
        """Give what the API asks and does."""
        places = {
            name: Place(
                endpoint=machine.url or f"station:{name}", profile=machine.profile, configured=Level(machine.control)
            )
            for name, machine in self._settings.machines.items()
        }
        return Desk(
            ledger=self._ledger,
            board=self._board,
            clock=self._clock,
            machines=places,
            shops=tuple(self._settings.shops),
            stations=self._stations,
            started_at=self._clock.now(),
        )

    @asynccontextmanager
    async def shops(self) -> AsyncIterator[dict[str, Shop]]:
        """Open every shop; nothing is asked of them yet."""
        async with AsyncExitStack() as stack:
            yield {
                name: await stack.enter_async_context(open_shop(self._shop_access(name, shop)))
                for name, shop in self._settings.shops.items()
            }

    @asynccontextmanager
    async def spool(self) -> AsyncIterator[Spool | None]:
        """Open where samples wait; without a broker nothing is sampled."""
        settings = self._settings.spool
        if self._settings.mqtt is None:
            yield None
            return
        limits = Limits(max_bytes=settings.max_bytes, max_age_h=settings.max_age_h, policy=Policy(settings.policy))
        async with open_spool(
            self._state_dir / "spool",
            limits,
            interval_s=settings.commit_interval_ms / 1000,
            now_ms=lambda: milliseconds(self._clock.now()),
            log=self._log,
        ) as spool:
            yield spool

    def enrol(self, tx: Tx) -> None:
        """Give every configured machine its row in the ledger."""
        for name in self._settings.machines:
            machines.enrol(tx, name)

    def start(self, group: asyncio.TaskGroup, shops: dict[str, Shop], spool: Spool | None) -> None:
        """Start one task per shop and direction, two per machine, plan and publish."""
        encoder = Encoder(self._ledger.boot)
        ledger, board, clock, log = self._ledger, self._board, self._clock, self._log
        for name, shop in shops.items():
            settings = self._settings.shops[name]
            source = self._intake(name, settings)
            group.create_task(
                intake(source, shop, ledger=ledger, board=board, clock=clock, log=log), name=f"intake {name}"
            )
            told = (
                report(name, shop, ledger=ledger, board=board, clock=clock, log=log)
                if settings.write_back
                else drain(f"shop:{name}", ledger=ledger, clock=clock)
            )
            group.create_task(told, name=f"report {name}")
        for name, machine in self._settings.machines.items():
            driver = self._driver(name, machine)
            if spool is not None and self._profiles[name].tags:
                sampling = self._sampling(name, encoder, spool)
                group.create_task(sampling.run(), name=f"sample {name}")
                driver = sampling.watching(driver)
            owner = tend(
                self._machine(name, machine),
                driver,
                ledger=ledger,
                board=board,
                clock=clock,
                log=log,
            )
            group.create_task(owner, name=f"tend {name}")
        group.create_task(
            planning_stage(ledger, self._floor(), clock=clock, log=log),
            name="plan",
        )
        group.create_task(self._publisher(spool), name="publish")
        group.create_task(self._kpis(), name="kpis")

    async def pulse(self) -> NoReturn:
        """Prove progress: the loop turns and the ledger takes a write. Only then is the watchdog fed."""
        await self._ledger.write(lambda _tx: None)
        self._board.put(
            ("info", self._gateway_id),
            {
                "site": self._ledger.site,
                "version": __version__,
                "epoch": self._ledger.epoch,
                "boot": self._ledger.boot,
                "machines": sorted(self._settings.machines),
            },
        )
        while True:
            waiting = await self._ledger.write(exceptions.count_open)
            links = {name: value["state"] for (kind, name), value in self._board.since(0).items() if kind == "link"}
            self._board.put(("health", self._gateway_id), {"exceptions_open": waiting, "links": links})
            sdnotify.notify_watchdog()
            await self._clock.sleep(min(PULSE_S, sdnotify.watchdog_interval_s() or PULSE_S))

    def _floor(self) -> Floor:
        collecting = {
            name for name, family in self._range.families.items() if family.run.release is not Release.AT_ONCE
        }
        return Floor(
            families=self._range.families,
            machines=tuple(self._settings.machines),
            rules={name: self._rules(name) for name in collecting},
            by_hand=frozenset(self._stations),
        )

    def _rules(self, family: str) -> FamilyRules:
        """Give the rules of a family; a list price that the shop has yet to tell decides about no release."""
        profiles = {machine.profile: self._profiles[name] for name, machine in self._settings.machines.items()}
        try:
            return to_family_rules(self._settings, profiles, family)
        except ValueError:
            return to_family_rules(self._settings, profiles, family, list_minor=UNKNOWN_PRICE_MINOR)

    def _intake(self, name: str, shop: ShopSettings) -> Intake:
        return Intake(
            shop=name,
            poll_s=shop.poll_s,
            rule=DueRule(states=frozenset(shop.produce_when.states), methods=frozenset(shop.produce_when.methods)),
            catalogue=Catalogue(range=self._range, recipe=self._recipe),
            erase_after=timedelta(days=shop.erase_after_days),
        )

    def _recipe(self, machine: str, recipe: str) -> Recipe:
        return self._profiles[machine].recipes[recipe]

    def _shop_access(self, name: str, shop: ShopSettings) -> ShopAccess:
        return ShopAccess(
            name=name,
            type=shop.type,
            url=shop.url,
            key=shop.key.reveal(),
            secret=shop.secret.reveal(),
            currency=shop.currency,
            overlap_s=shop.overlap_s,
            lag_s=shop.lag_s,
            per_page=shop.per_page,
            timeout_s=shop.timeout_s,
            personal=shop.personal,
            monotonic=self._clock.monotonic,
            sleep=self._clock.sleep,
        )

    def _machine(self, name: str, machine: MachineSettings) -> Machine:
        profile = self._profiles[name]
        return Machine(
            name=name,
            endpoint=machine.url or f"station:{name}",
            profile=profile,
            profile_hash=fingerprint(profile),
            configured=Level(machine.control),
            pieces_per_cycle={family.name: family.pieces_per_cycle for family in self._range.families.values()},
            by_hand=name in self._stations,
        )

    def _driver(self, name: str, machine: MachineSettings) -> Driver:
        if name in self._stations:
            return self._stations[name]
        assert machine.url is not None
        return open_driver(
            name=name,
            url=machine.url,
            links=self._links,
            profile=self._profiles[name],
            security=self._security(machine.security),
            monotonic=self._clock.monotonic,
        )

    def _security(self, chosen: SecuritySettings | None) -> Security:
        """Give what protects a connection: the server's fingerprint, and our certificate, made at first use."""
        if chosen is None:
            return Security()
        certificate, key = chosen.certificate, chosen.private_key
        if certificate is None or key is None:
            certificate, key = own_certificate(self._state_dir / "pki", f"urn:kvot:gateway:{self._settings.site.id}")
        return Security(server_fingerprint=chosen.server_fingerprint, own_certificate=certificate, own_key=key)

    def _sampling(self, name: str, encoder: Encoder, spool: Spool) -> Sampling:
        profile = self._profiles[name]
        return Sampling(
            name,
            tags=profile.tags,
            sample_s=profile.sample_s,
            encoder=encoder,
            spool=spool,
            clock=self._clock,
            log=self._log,
            to_business_ms=self._clock.business_ms,
        )

    def _kpis(self) -> Any:
        return watch_kpis(
            self._ledger,
            self._board,
            recipes={name: profile.recipes for name, profile in self._profiles.items()},
            pieces_per_cycle={family.name: family.pieces_per_cycle for family in self._range.families.values()},
            timezone=self._settings.site.timezone,
            clock=self._clock,
        )

    def _publisher(self, spool: Spool | None) -> Any:
        mqtt = self._settings.mqtt
        if mqtt is None or spool is None:
            return drain("mqtt", ledger=self._ledger, clock=self._clock)
        access = BrokerAccess(
            url=mqtt.url,
            client_id=self._gateway_id,
            username=mqtt.username,
            password=None if mqtt.password is None else mqtt.password.reveal(),
            ca_file=mqtt.ca,
            receive_maximum=mqtt.receive_maximum,
            ack_deadline_s=mqtt.ack_deadline_s,
        )
        topics = Topics(
            base=self._settings.mqtt_base,
            gateway_id=self._gateway_id,
            machines={name: (machine.area, machine.line) for name, machine in self._settings.machines.items()},
        )
        samples = SamplesOut(
            spool,
            topics,
            self._clock,
            in_flight=mqtt.receive_maximum,
            history_per_s=self._settings.spool.history_per_s,
        )
        return publish(
            self._ledger,
            self._board,
            access=access,
            topics=topics,
            clock=self._clock,
            log=self._log,
            samples=samples,
        )


def fingerprint(profile: Profile) -> str:
    """Give a short hash of a machine type: a changed profile ends the arming of its machines.

    What is only watched does not count: a new tag changes nothing of what the machine may be told to do.
    """
    told = {name: value for name, value in asdict(profile).items() if name not in {"tags", "sample_s"}}
    return sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


async def _stopped(stop: asyncio.Event) -> NoReturn:
    await stop.wait()
    raise _StopAskedError
