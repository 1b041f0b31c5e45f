"""The pipeline configuration that `TANK_CURRENT_PC` names.

Hazard: it is read from the environment at each call, so a value left by another project decides.
"""

import os

from .errors import TankError
from .util import yaml_cache

CORE_VERSION = "@VERSION@"


class PipelineConfiguration(object):
    """A configuration on disk."""

    def __init__(self, path):
        self.path = path
        self.settings = yaml_cache.load(os.path.join(path, "config", "core", "pipeline_configuration.yml"))

    @property
    def project(self):
        """The project's name on disk."""
        return self.settings.get("project_name")


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
