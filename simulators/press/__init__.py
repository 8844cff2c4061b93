"""A press with ISA-95 Job Control over OPC UA, a panel, a journal of its motions, and faults on request."""
