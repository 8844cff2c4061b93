"""Runs that price themselves: `plan` turns what is seen of a run into price, promise, campaign and release."""

from gateway.domain.pricing.planning import plan

__all__ = ["plan"]
