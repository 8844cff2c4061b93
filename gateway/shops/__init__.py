"""Sales channels: orders come in through one port and status goes back through it."""
