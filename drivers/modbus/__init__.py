"""Modbus TCP and RTU: the mailbox map over holding registers."""
