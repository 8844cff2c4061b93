"""Simulated shops, machines and customers: real protocols on loopback, and nothing of the gateway in them."""
