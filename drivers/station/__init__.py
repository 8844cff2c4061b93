"""A person as a machine: tickets and confirmations through the driver port."""
