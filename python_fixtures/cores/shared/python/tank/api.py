"""The Toolkit object.

Hazard: the authenticated user is a global of this module; whoever shares the module shares the user.
"""

import threading

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
    """Toolkit for one project: given a path of it, or its configuration."""

    version = CORE_VERSION

    def __init__(self, project):
        if not project:
            raise TankError("a path is needed")
        if isinstance(project, pipelineconfig.PipelineConfiguration):
            self.pipeline_configuration = project
            self.project_path = project.get_project_path()
        else:
            self.project_path = str(project)
            self.pipeline_configuration = pipelineconfig.from_path(project)
        self.templates = {"publish": Template(self.project_path + "/publish/{name}.v{version}")}
        self._connections = threading.local()
        log.debug("Toolkit %s for %s", CORE_VERSION, self.project_path)

    @property
    def configuration_path(self):
        """The configuration's folder; None where the environment names none."""
        return self.pipeline_configuration and self.pipeline_configuration.path

    @property
    def configuration_name(self):
        """What the site calls the configuration."""
        return self.pipeline_configuration and self.pipeline_configuration.get_name()

    @property
    def configuration_id(self):
        """The configuration's id on the site."""
        return self.pipeline_configuration and self.pipeline_configuration.get_shotgun_id()

    @property
    def configuration_descriptor(self):
        """Where the configuration came from."""
        return self.pipeline_configuration and self.pipeline_configuration.get_configuration_descriptor()

    @property
    def shotgun(self):
        """A connection to the site in the name of the core's user, one for each thread."""
        if getattr(self._connections, "own", None) is None:
            if get_authenticated_user() is None:
                raise TankError("there is no user to connect as")
            self._connections.own = get_authenticated_user().create_sg_connection()
        return self._connections.own

    def synchronize_filesystem_structure(self, full_sync=False):
        """Brings the local folder cache up to date with the site; counted here, as there is none."""
        self.synchronized = getattr(self, "synchronized", 0) + 1
        self.shotgun.find("Project", [], ["id"])

    def context_empty(self):
        """The context of nothing."""
        return context.Context(self, None)

    def context_from_path(self, path):
        """The context of a path."""
        return context.from_path(self, path)

    def context_from_entity(self, entity_type, entity_id):
        """The context of an entity, as the site knows it."""
        return context.from_entity(self, entity_type, entity_id)

    def context_from_entity_dictionary(self, entity):
        """The context of an entity, as the site knows it."""
        return context.from_entity(self, entity["type"], entity["id"])

    def execute_core_hook(self, name, **arguments):
        """Runs a hook of the configuration, or one that comes with the core."""
        from . import hook

        return hook.execute_hook(hook.core_hook(name, self.pipeline_configuration), parent=self, **arguments)


Tank = Sgtk


def sgtk_from_path(path):
    """Toolkit for the project that `path` belongs to; an error when the current configuration is another
    project's.
    """
    return Sgtk(path)


tank_from_path = sgtk_from_path


def sgtk_from_entity(entity_type, entity_id):
    """Toolkit for the current configuration's project."""
    current = pipelineconfig.current()
    if current is None:
        raise TankError("no configuration for %s %s" % (entity_type, entity_id))
    return Sgtk("/projects/%s" % current.project)
