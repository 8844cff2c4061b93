"""A simulated WooCommerce shop with customers, as strict and as quirky as the real one."""

from simulators.shop.customers import Why
from simulators.shop.faults import Fault, FaultKind, Faults
from simulators.shop.oauth import base_string, signature
from simulators.shop.serving import RunningShop, main, running_shop, serve
from simulators.shop.settings import ShopSimulation
from simulators.shop.store import Store
from simulators.shop.values import Order, Wanted, Write

__all__ = [
    "Fault",
    "FaultKind",
    "Faults",
    "Order",
    "RunningShop",
    "ShopSimulation",
    "Store",
    "Wanted",
    "Why",
    "Write",
    "base_string",
    "main",
    "running_shop",
    "serve",
    "signature",
]
