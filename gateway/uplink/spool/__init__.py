"""Samples wait here for the broker: on disk, bounded, dropped after their acknowledgement or with a declaration."""

from gateway.uplink.spool.records import Gap, Sample
from gateway.uplink.spool.spool import Feed, Spool, open_spool
from gateway.uplink.spool.store import Limits, Policy

__all__ = ["Feed", "Gap", "Limits", "Policy", "Sample", "Spool", "open_spool"]
