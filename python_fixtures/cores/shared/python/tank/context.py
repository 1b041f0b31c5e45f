"""What somebody works on."""

from .errors import TankError

CORE_VERSION = "@VERSION@"


class Context(object):
    """Project and entity."""

    def __init__(self, tk, project, entity=None):
        self.tank = tk
        self.project = project
        self.entity = entity

    def __str__(self):
        return " ".join(str(part) for part in (self.project, self.entity) if part)


def from_path(tk, path):
    """The context of a path: its last two folders are the project and the entity."""
    parts = [part for part in str(path).replace("\\", "/").split("/") if part]
    if not parts:
        raise TankError("no context for %r" % (path,))
    return Context(tk, parts[0] if len(parts) == 1 else parts[-2], None if len(parts) == 1 else parts[-1])
