"""Exceptions of engines."""

from ..errors import TankError

CORE_VERSION = "@VERSION@"


class TankEngineInitError(TankError):
    """An engine can't start."""


class TankMissingEngineError(TankEngineInitError):
    """The environment has no such engine."""
