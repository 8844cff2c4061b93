"""The daemon: orders, runs, jobs and what they cost; no machine protocol."""

__version__ = "0.1.0"
