"""Comparing versions.

Hazard: not all that is in `sys.modules` is a module; this leaves an object there that has no dictionary.
"""

import sys

CORE_VERSION = "@VERSION@"


class Unbounded(object):
    """Above every version."""

    __slots__ = ()
    CORE_VERSION = CORE_VERSION


sys.modules[__name__.rpartition(".")[0] + ".unbounded"] = Unbounded()


def parse(text):
    """The numbers in a version."""
    return tuple(int(part) for part in text.lstrip("v").split("."))
