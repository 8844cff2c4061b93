"""The shop port: its fake, its contract, and the WooCommerce profile."""
