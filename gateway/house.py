"""Settings become the arguments of each stage: shops, machines, stations, runs, prices, broker."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from drivers.base import Driver, Security
from drivers.catalog import open_driver, open_station, own_certificate
from drivers.link import Links
from drivers.profile import Recipe
from gateway import __version__, sdnotify
from gateway.api.desk import Desk, Place
from gateway.carriers import Run, open_carriers
from gateway.clock import SystemClock
from gateway.domain.intake import Catalogue, DueRule
from gateway.domain.machines import Level, fingerprint
from gateway.domain.pricing import FamilyRules, Mode, Release
from gateway.keeping import keep, look_after, open_backups
from gateway.ledger import machines
from gateway.ledger.database import Ledger, Tx
from gateway.ledger.facts import milliseconds
from gateway.publishing import publisher
from gateway.settings import Settings
from gateway.settings.models import MachineSettings, SecuritySettings, ShopSettings
from gateway.shops.access import ShopAccess
from gateway.shops.base import Coupons, Prices, Shop
from gateway.shops.catalog import open_shop
from gateway.stages.board import Board
from gateway.stages.intake import Intake, intake
from gateway.stages.kpi import watch_kpis
from gateway.stages.plan import Floor, planning_stage
from gateway.stages.price import price_stage
from gateway.stages.pricing import Pricing, promise_at_intake
from gateway.stages.quotes import Quoting
from gateway.stages.recover import STANDING as RECOVERY
from gateway.stages.recover import afterwards
from gateway.stages.report import drain, report, report_coupons, report_offers
from gateway.stages.sample import Sampling
from gateway.stages.tend import Machine, tend
from gateway.uplink.samples import Encoder
from gateway.uplink.spool import Limits, Policy, Spool, open_spool

STATION = "station"  # the protocol of a place where a person works
UNKNOWN_PRICE_MINOR = 1_000_000_00  # stands in for a list price nobody has told: no break-even holds a release back
PULSE_S = 5.0  # how often progress is proven and health is published


class House:
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
        self.backups = open_backups(settings, state_dir=state_dir, ledger=ledger, clock=clock, log=log)
        self._gateway_id = (settings.mqtt.client_id if settings.mqtt else None) or f"kvot-{settings.site.id}"

    def desk(self) -> Desk:
        """Give what the API asks and does."""
        places = {
            name: Place(
                endpoint=machine.url or f"station:{name}",
                profile=machine.profile,
                configured=Level(machine.control),
                type=self._profiles[name],
                accepted=machine.effect_accepted is not None,
                by_hand=name in self._stations,
            )
            for name, machine in self._settings.machines.items()
        }
        return Desk(
            ledger=self._ledger.at_once(),
            backups=self.backups,
            board=self._board,
            clock=self._clock,
            machines=places,
            shops=tuple(self._settings.shops),
            stations=self._stations,
            floor=self._floor(),
            pricing=self._pricing({}),
            quoting=self._quoting(),
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

    def carriers(self) -> AbstractAsyncContextManager[Mapping[str, Run]]:
        """Open what carries files of order lines: the stages by task name."""
        ledger, clock, log = self._ledger, self._clock, self._log
        return open_carriers(
            self._settings, self._range, state_dir=self._state_dir, ledger=ledger, clock=clock, log=log
        )

    def enrol(self, tx: Tx) -> None:
        """Give every configured machine its row in the ledger."""
        for name in self._settings.machines:
            machines.enrol(tx, name)

    def start(self, group: asyncio.TaskGroup, shops: dict[str, Shop], spool: Spool | None) -> None:
        """Start one task per shop and direction, two per machine, plan and publish."""
        encoder = Encoder(self._ledger.boot)
        pricing = self._pricing(shops)
        ledger, board, clock, log = self._ledger, self._board, self._clock, self._log
        for name, shop in shops.items():
            settings = self._settings.shops[name]
            source = self._intake(name, settings, pricing)
            group.create_task(
                intake(source, shop, ledger=ledger, board=board, clock=clock, log=log), name=f"intake {name}"
            )
            told = (
                partial(report, name, shop, ledger=ledger, board=board, clock=clock, log=log)
                if settings.write_back
                else partial(drain, f"shop:{name}", ledger=ledger, clock=clock)
            )
            group.create_task(afterwards(told, ledger=ledger, clock=clock), name=f"report {name}")
            if settings.write_back and settings.prices:
                self._start_prices(group, name, shop)
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
        group.create_task(planning_stage(ledger, self._floor(), clock=clock, log=log, board=board), name="plan")
        group.create_task(price_stage(pricing, ledger=ledger, board=board, clock=clock, log=log), name="price")
        speaking = publisher(
            self._settings,
            spool,
            gateway_id=self._gateway_id,
            pricing=pricing,
            ledger=ledger,
            board=board,
            clock=clock,
            log=log,
        )
        group.create_task(speaking, name="publish")
        group.create_task(self._kpis(), name="kpis")
        keep(
            group,
            self._settings,
            self.backups,
            state_dir=self._state_dir,
            ledger=ledger,
            spool=spool,
            board=board,
            clock=clock,
            log=log,
        )

    def _start_prices(self, group: asyncio.TaskGroup, name: str, shop: Shop) -> None:
        """Start what tells a shop its prices and coupons, as far as it has them."""
        ledger, board, clock, log = self._ledger, self._board, self._clock, self._log
        if isinstance(shop, Prices):
            offers = partial(report_offers, name, shop, ledger=ledger, board=board, clock=clock, log=log)
            group.create_task(afterwards(offers, ledger=ledger, clock=clock), name=f"offers {name}")
        if isinstance(shop, Coupons):
            coupons = partial(report_coupons, name, shop, ledger=ledger, board=board, clock=clock, log=log)
            group.create_task(afterwards(coupons, ledger=ledger, clock=clock), name=f"coupons {name}")

    async def pulse(self) -> NoReturn:
        """Prove progress: the loop turns, and the ledger takes a write or says that the disk is full.

        Only then is the watchdog fed: a restart makes no room.
        """
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
            health = await look_after(self._ledger)
            links = {name: value["state"] for (kind, name), value in self._board.since(0).items() if kind == "link"}
            self._board.put(
                ("health", self._gateway_id),
                {**health, "links": links, "recovering": bool(self._board.get(RECOVERY))},
            )
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
        try:
            return self._settings.rules(family)
        except ValueError:
            return self._settings.rules(family, list_minor=UNKNOWN_PRICE_MINOR)

    def _pricing(self, shops: Mapping[str, Shop]) -> Pricing:
        settings = self._settings

        def rules(family: str, shop: str | None, list_minor: int | None) -> FamilyRules:
            return settings.rules(family, list_minor=list_minor, shop=shop)

        periods_s = {f"shop:{name}": shop.poll_s for name, shop in settings.shops.items()}
        periods_s |= {f"machine:{name}": profile.poll_s for name, profile in self._profiles.items()}
        return Pricing(
            floor=self._floor(),
            range=self._range,
            rules=rules,
            mode=Mode(settings.pricing.mode),
            advise_for=timedelta(days=settings.pricing.advise_days),
            zone=ZoneInfo(settings.site.timezone),
            shops={name: shop for name, shop in shops.items() if isinstance(shop, Prices)},
            write_back=frozenset(name for name, shop in settings.shops.items() if shop.write_back and shop.prices),
            periods_s=periods_s,
        )

    def _quoting(self) -> Quoting:
        return Quoting(
            pricing=self._pricing({}),
            catalogue=self._catalogue(),
            shops=tuple(self._settings.shops),
            express=self._settings.express(),
        )

    def _catalogue(self) -> Catalogue:
        return Catalogue(range=self._range, recipe=self._recipe)

    def _intake(self, name: str, shop: ShopSettings, pricing: Pricing) -> Intake:
        return Intake(
            shop=name,
            poll_s=shop.poll_s,
            rule=DueRule(states=frozenset(shop.produce_when.states), methods=frozenset(shop.produce_when.methods)),
            catalogue=self._catalogue(),
            erase_after=timedelta(days=shop.erase_after_days),
            promising=lambda tx, shop_name, plan, now: promise_at_intake(tx, pricing, shop_name, plan, now),
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
            accepted=machine.effect_accepted is not None,
            attendance=self._settings.attendance(name),
            families={
                family.name: family
                for family in self._range.families.values()
                if family.setup is not None and name in family.machines
            },
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
