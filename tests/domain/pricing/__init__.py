"""The pricing decisions, over frozen values."""
