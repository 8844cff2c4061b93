"""The control API: one application for the command line, partners and pages."""
