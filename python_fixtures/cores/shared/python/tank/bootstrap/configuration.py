"""Configurations that a bootstrap can go into, and the step from one core to the other.

Hazard: the code here is the old core's to its end; from the swap on, what it imports is the new one's.
"""

import os
import sys

from ..authentication import serialize_user
from .errors import TankBootstrapError
from .import_handler import CoreImportHandler

CORE_VERSION = "@VERSION@"

class Configuration(object):
    """A configuration with a core of its own."""

    def __init__(self, path, descriptor):
        self.path = path
        self.descriptor = descriptor

    def verify_required_shotgun_fields(self):
        """Sees whether the site knows what is needed."""

    def update_configuration(self):
        """Brings what is on disk up to date."""

    def cache_bundles(self, configuration, engine, tell):
        """Sees which bundles are there."""

    def core_python_path(self):
        """The `python` folder of the configuration's core."""
        return os.path.join(self.path, "install", "core", "python")

    def get_tk_instance(self, user):
        """Puts the configuration's core in place, and gives its Toolkit and its user."""
        carried = serialize_user(user)
        target = self.core_python_path()
        if target != self._get_current_core_python_path():
            CoreImportHandler.swap_core(target)

        # The new core's, where there is one.
        from .. import api, authentication, pipelineconfig

        user = authentication.deserialize_user(carried)
        api.set_authenticated_user(user)
        return api.tank_from_path(pipelineconfig.PipelineConfiguration(self.path, self.descriptor)), user

    def _get_current_core_python_path(self):
        import sgtk

        return os.path.abspath(os.path.join(os.path.dirname(sgtk.__file__), os.pardir))


class InstalledConfiguration(Configuration):
    """A centralized configuration: all of it is on disk already."""

    def core_python_path(self):
        """Its own core's, or that of the core which it is attached to."""
        install = os.path.join(self.path, "install", "core")
        if not os.path.exists(os.path.join(install, "_core_upgrader.py")):
            platform = {"win32": "Windows", "darwin": "Darwin"}.get(sys.platform, "Linux")
            pointer = os.path.join(install, "core_%s.cfg" % platform)
            if not os.path.exists(pointer):
                raise TankBootstrapError("%s has no core and points to none" % self.path)
            with open(pointer) as stream:
                install = os.path.join(os.path.expandvars(stream.read().strip()), "install", "core")
        return os.path.join(install, "python")
