"""A market and a machine that do not exist, on which pricing policies are compared before one is switched on."""

from gateway.market.contest import (
    BASELINE,
    CAMPAIGN,
    COUNTDOWN,
    DISTANCE,
    Summary,
    Task,
    contestants,
    play,
    summarise,
    tasks,
)
from gateway.market.simulation import Outcome, simulate
from gateway.market.world import World, as_believed

__all__ = [
    "BASELINE",
    "CAMPAIGN",
    "COUNTDOWN",
    "DISTANCE",
    "Outcome",
    "Summary",
    "Task",
    "World",
    "as_believed",
    "contestants",
    "play",
    "simulate",
    "summarise",
    "tasks",
]
