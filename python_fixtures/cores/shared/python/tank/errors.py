"""Exceptions.

Hazard: every core has its own `TankError`; an `except` that names the class of another core does not catch
it.
"""

CORE_VERSION = "@VERSION@"


class TankError(Exception):
    """Base of all that the core raises."""

    core_version = CORE_VERSION


class TankHookMethodDoesNotExistError(TankError):
    """A hook lacks the method that was asked for."""


class TankUnreadableFileError(TankError):
    """A file of the configuration can't be read."""
