"""The board shows each machine's key figures, rebuilt from the ledger after a restart."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers.profile import Recipe
from gateway.domain.machines import Level
from gateway.stages.kpi import watch_kpis
from tests.eventually import eventually
from tests.shops.rows import order_row
from tests.stages.factory import PRESS, Factory, a_factory
