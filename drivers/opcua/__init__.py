"""Machines behind OPC UA: connection, security and the ISA-95 Job Control dialect."""
