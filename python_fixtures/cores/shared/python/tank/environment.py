"""Which engine with which apps: `env/<name>.yml` of a configuration."""

import os

from tank_vendor import yaml

from .descriptor import Descriptor
from .errors import TankUnreadableFileError

CORE_VERSION = "@VERSION@"


class Environment(object):
    """The engines of one file."""

    def __init__(self, name, path, fallback_roots):
        self.name = name
        self.disk_location = path
        self._roots = fallback_roots
        if not os.path.exists(path):
            raise TankUnreadableFileError("no environment %s: %s" % (name, path))
        with open(path) as stream:
            self._engines = (yaml.safe_load(stream) or {}).get("engines") or {}

    def get_engines(self):
        """The names of its engines."""
        return list(self._engines)

    def get_engine_settings(self, engine):
        """What the file says about an engine."""
        return self._engines[engine]

    def get_engine_descriptor(self, engine):
        """Where an engine is."""
        return Descriptor(self._engines[engine]["location"], self._roots)

    def get_apps(self, engine):
        """The names of an engine's apps."""
        return list(self._engines[engine].get("apps") or {})

    def get_app_settings(self, engine, app):
        """What the file says about an app."""
        return self._engines[engine]["apps"][app]

    def get_app_descriptor(self, engine, app):
        """Where an app is."""
        return Descriptor(self._engines[engine]["apps"][app]["location"], self._roots)
