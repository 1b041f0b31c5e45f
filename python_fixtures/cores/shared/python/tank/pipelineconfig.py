"""Pipeline configurations: the one that `TANK_CURRENT_PC` names, or one whose folder is known.

Hazard: the variable is read at each call, so a value left by another project decides.
"""

import glob
import os

from .environment import Environment
from .errors import TankError
from .util import yaml_cache

CORE_VERSION = "@VERSION@"


class PipelineConfiguration(object):
    """A configuration on disk."""

    def __init__(self, path, descriptor=None):
        self.path = path
        self.settings = yaml_cache.load(os.path.join(path, "config", "core", "pipeline_configuration.yml"))
        self._descriptor = descriptor

    @property
    def project(self):
        """The project's name on disk."""
        return self.settings.get("project_name")

    def get_path(self):
        """Its folder."""
        return self.path

    def get_name(self):
        """What the site calls it."""
        return self.settings.get("pc_name", "Unmanaged")

    def get_shotgun_id(self):
        """Its id on the site, or None."""
        return int(self.settings["pc_id"]) if self.settings.get("pc_id") else None

    def get_project_id(self):
        """The project's id on the site, or None."""
        return int(self.settings["project_id"]) if self.settings.get("project_id") else None

    def get_configuration_descriptor(self):
        """Where it came from; None where that is not known."""
        return self._descriptor

    def get_project_path(self):
        """The project's folder."""
        roots = yaml_cache.load(os.path.join(self.path, "config", "core", "roots.yml"))
        return roots.get("primary") or "/projects/%s" % self.project

    def get_environments(self):
        """The names of its environments."""
        files = glob.glob(os.path.join(self.path, "config", "env", "*.yml"))
        return sorted(os.path.splitext(os.path.basename(file))[0] for file in files)

    def get_environment(self, name):
        """An environment."""
        caches = (self.settings.get("bundle_caches") or "").split(os.pathsep)
        return Environment(
            name, os.path.join(self.path, "config", "env", name + ".yml"), [one for one in caches if one]
        )


def current():
    """The configuration that the environment names, or None."""
    path = os.environ.get("TANK_CURRENT_PC")
    return PipelineConfiguration(path) if path else None


def from_path(path):
    """The current configuration, provided that `path` is one of its project's."""
    configuration = current()
    if configuration is None:
        return None
    if configuration.project not in str(path).replace("\\", "/").split("/"):
        raise TankError("%s is not a path of %s (%s)" % (path, configuration.project, configuration.path))
    return configuration
