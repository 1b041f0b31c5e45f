"""One engine for each copy of the core."""

from ..errors import TankError
from ..log import LogManager

CORE_VERSION = "@VERSION@"

log = LogManager.get_logger(__name__)

current = None


class Engine(object):
    """A running engine."""

    core_version = CORE_VERSION

    def __init__(self, name, tk, context):
        self.name = name
        self.sgtk = tk
        self.context = context

    def destroy(self):
        """Ends the engine; raises when another one took its place."""
        global current
        if current is not self:
            raise TankError("%s is not the current engine" % self.name)
        current = None


def start(name, tk, context):
    """Starts the engine `name`."""
    global current
    if current is not None:
        raise TankError("an engine is already running: %s" % current.name)
    current = Engine(name, tk, context)
    log.debug("engine %s started", name)
    return current
