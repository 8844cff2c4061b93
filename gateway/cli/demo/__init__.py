"""`kvot demo`: a whole factory on one computer, from the order to the finished piece."""

from gateway.cli.demo.verb import demo

__all__ = ["demo"]
