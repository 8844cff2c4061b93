"""An oven behind the mailbox register map over Modbus TCP, with a scan, a memory, a panel and a journal."""
