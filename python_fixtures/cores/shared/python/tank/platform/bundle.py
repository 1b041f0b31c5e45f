"""What engines and apps have in common: a folder with code in it.

Hazards: the `python` folder of a bundle is imported under a name that nobody can tell in advance, with the
folder at `sys.path[0]` meanwhile; hooks get bare hexadecimal names.
"""

import importlib.util
import os
import sys
import uuid

from .. import hook
from ..errors import TankError
from ..log import LogManager

CORE_VERSION = "@VERSION@"


class TankBundle(object):
    """An engine or an app."""

    core_version = CORE_VERSION

    def __init__(self, tk, context, instance_name, settings, descriptor):
        self.sgtk = self.tank = tk
        self.context = context
        self.instance_name = self.name = instance_name
        self.settings = settings
        self.descriptor = descriptor
        self.logger = self.log = LogManager.get_logger("env.%s" % instance_name)
        self._package = None

    @property
    def version(self):
        """The version that its descriptor has."""
        return self.descriptor and self.descriptor.version

    @property
    def disk_location(self):
        """Its folder."""
        return self.descriptor.get_path()

    def get_setting(self, name, default=None):
        """What the environment says."""
        return (self.settings or {}).get(name, default)

    def import_module(self, name):
        """A module of its `python` folder, whose `__init__` has to import it."""
        if self._package is None:
            folder = os.path.join(self.disk_location, "python")
            if not os.path.isdir(folder):
                raise TankError("%s has no python folder" % self.instance_name)
            self._package = "tkimp%s" % uuid.uuid4().hex
            sys.path.insert(0, folder)
            spec = importlib.util.spec_from_file_location(self._package, os.path.join(folder, "__init__.py"))
            sys.modules[self._package] = package = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(package)
            sys.path.pop(0)
        return sys.modules["%s.%s" % (self._package, name)]

    def execute_hook_expression(self, expression, method, **arguments):
        """Runs a method of a hook: `{self}/name.py` is in its `hooks` folder."""
        path = expression.replace("{self}", os.path.join(self.disk_location, "hooks"))
        return hook.execute_hook(path, method, parent=self, **arguments)
