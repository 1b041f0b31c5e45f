"""Left from an older core: the package wants names that are not here yet."""

CORE_VERSION = "@VERSION@"


class TankError(Exception):
    """Base of all that the core raises."""

    core_version = CORE_VERSION


class TankHookMethodDoesNotExistError(TankError):
    """A hook lacks the method that was asked for."""
