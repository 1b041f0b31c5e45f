"""A module of that package."""


def pages():
    """How many."""
    return 192
