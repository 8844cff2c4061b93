"""Who looks at the shop, when, and what it takes to make him buy: the same people whatever the policy."""

import heapq
import random
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

from gateway.market.world import HOUR_S, World


class Visitor(NamedTuple):
    """Somebody who looks at this moment (timestamp), wants so many units, and buys when the chance is above his doubt.

    asked: an open campaign brings him; without one he does not come.
    """

    at: float
    units: int
    doubt: float
    asked: bool


def everybody(world: World, *, seed: int, begin: float) -> Iterator[Visitor]:
    """Let people come as a Poisson process, without an end: by themselves, and those whom a campaign would bring."""
    by_themselves = _stream(world, rate_h=world.visitors_h, name=f"visitors {seed}", begin=begin, asked=False)
    invited = _stream(world, rate_h=world.campaign_visitors_h, name=f"invited {seed}", begin=begin, asked=True)
    return heapq.merge(by_themselves, invited, key=itemgetter(0))


def _stream(world: World, *, rate_h: float, name: str, begin: float, asked: bool) -> Iterator[Visitor]:
    dice, at = random.Random(name), begin  # noqa: S311 - visitors are no secret
    while rate_h > 0:
        at += dice.expovariate(rate_h) * HOUR_S
        yield Visitor(at, _units(world, dice), dice.random(), asked)


def _units(world: World, dice: random.Random) -> int:
    """Draw an order's size: gamma distributed with the world's mean and spread, at least one unit."""
    if world.units_sd <= 0:
        return max(1, round(world.units))
    shape = (world.units / world.units_sd) ** 2
    return max(1, round(dice.gammavariate(shape, world.units / shape)))
