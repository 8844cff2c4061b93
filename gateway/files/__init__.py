"""Files of order lines on our own disk: what is in one, where it is kept, how it reaches a machine's folder."""
