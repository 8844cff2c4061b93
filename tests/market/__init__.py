"""The bundled market: its machine, its buyers, what it counts, and the regimes of the bench."""
