"""Comparing versions."""

CORE_VERSION = "@VERSION@"


def parse(text):
    """The numbers in a version."""
    return tuple(int(part) for part in text.lstrip("v").split("."))
