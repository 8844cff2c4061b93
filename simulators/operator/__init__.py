"""An operator who does not exist: walks from machine to machine, sets up, and looks at first pieces."""
