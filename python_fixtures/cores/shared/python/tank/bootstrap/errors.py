"""Exceptions of bootstraps."""

from ..errors import TankError

CORE_VERSION = "@VERSION@"


class TankBootstrapError(TankError):
    """A bootstrap can't go on."""
