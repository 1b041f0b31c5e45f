"""What somebody works on."""

from .errors import TankError

CORE_VERSION = "@VERSION@"


class Context(object):
    """Project and entity."""

    def __init__(self, tk, project, entity=None):
        self.tank = tk
        self.project = project
        self.entity = entity

    @property
    def sgtk(self):
        """The Toolkit object."""
        return self.tank

    def __str__(self):
        return " ".join(_told(part) for part in (self.project, self.entity) if part)


def _told(part):
    return "%s %s" % (part["type"], part["name"]) if isinstance(part, dict) else str(part)


def from_path(tk, path):
    """The context of a path: its last two folders are the project and the entity."""
    parts = [part for part in str(path).replace("\\", "/").split("/") if part]
    if not parts:
        raise TankError("no context for %r" % (path,))
    return Context(tk, parts[0] if len(parts) == 1 else parts[-2], None if len(parts) == 1 else parts[-1])


def from_entity(tk, entity_type, entity_id):
    """The context of an entity: it and its project as the site knows them."""
    field = "name" if entity_type == "Project" else "code"
    found = tk.shotgun.find_one(entity_type, [["id", "is", entity_id]], [field, "project"])
    if found is None:
        raise TankError("the site has no %s %s" % (entity_type, entity_id))
    entity = {"type": entity_type, "id": entity_id, "name": found[field]}
    if entity_type == "Project":
        return Context(tk, entity)
    project = found["project"] and tk.shotgun.find_one(
        "Project", [["id", "is", found["project"]["id"]]], ["name"]
    )
    return Context(tk, project and {"type": "Project", "id": project["id"], "name": project["name"]}, entity)
