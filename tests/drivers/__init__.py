"""The drivers: one contract for all of them, the OPC UA codec, security and sessions."""
