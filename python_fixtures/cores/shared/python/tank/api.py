"""The Toolkit object.

Hazard: the authenticated user is a global of this module; whoever shares the module shares the user.
"""

from . import context, pipelineconfig
from .errors import TankError
from .log import LogManager
from .template import Template

CORE_VERSION = "@VERSION@"

log = LogManager.get_logger(__name__)

_authenticated_user = None


def set_authenticated_user(user):
    """Sets the user for this core, or clears it with None."""
    global _authenticated_user
    _authenticated_user = user


def get_authenticated_user():
    """The user of this core, or None."""
    return _authenticated_user


class Sgtk(object):
    """Toolkit for one project."""

    version = CORE_VERSION

    def __init__(self, path):
        if not path:
            raise TankError("a path is needed")
        self.project_path = str(path)
        self.pipeline_configuration = pipelineconfig.from_path(path)
        self.templates = {"publish": Template(self.project_path + "/publish/{name}.v{version}")}
        log.debug("Toolkit %s for %s", CORE_VERSION, path)

    @property
    def configuration_path(self):
        """The configuration's folder; None where the environment names none."""
        return self.pipeline_configuration and self.pipeline_configuration.path

    def context_from_path(self, path):
        """The context of a path."""
        return context.from_path(self, path)

    def execute_core_hook(self, name, **arguments):
        """Runs a hook that comes with the core."""
        from . import hook

        return hook.execute_hook(hook.bundled(name), parent=self, **arguments)


Tank = Sgtk


def sgtk_from_path(path):
    """Toolkit for the project that `path` belongs to; an error when the current configuration is another project's."""
    return Sgtk(path)


def sgtk_from_entity(entity_type, entity_id):
    """Toolkit for the current configuration's project."""
    current = pipelineconfig.current()
    if current is None:
        raise TankError("no configuration for %s %s" % (entity_type, entity_id))
    return Sgtk("/projects/%s" % current.project)
