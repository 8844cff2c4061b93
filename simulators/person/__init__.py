"""A person at a station who does not exist: reads the board, works, and says what became of it."""
