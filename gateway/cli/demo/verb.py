"""x"""
def demo() -> None:
    """Play."""
