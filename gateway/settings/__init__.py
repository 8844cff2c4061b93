"""kvot.yaml: read with positions, checked as a whole, turned into typed values."""

from gateway.settings.load import Settings, load, shipped

__all__ = ["Settings", "load", "shipped"]
