"""Commands; the last module that the import of the core reaches."""

from .errors import TankError

CORE_VERSION = "@VERSION@"

_commands = {"version": lambda: CORE_VERSION}


def get_command(name):
    """The command of that name."""
    if name not in _commands:
        raise TankError("no command %s" % name)
    return _commands[name]
