"""Measurements beside the tests: `python -m tests.bench.telemetry`."""
