"""A plain machine over Modbus TCP: parameters, start, busy, done and counters, and no memory of jobs."""
