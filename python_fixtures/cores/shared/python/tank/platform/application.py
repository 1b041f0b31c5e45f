"""Apps."""

import os

from ..util import loader
from .bundle import TankBundle

CORE_VERSION = "@VERSION@"


class Application(TankBundle):
    """Something that an engine can do."""

    def __init__(self, engine, instance_name, settings, descriptor):
        super(Application, self).__init__(engine.sgtk, engine.context, instance_name, settings, descriptor)
        self.engine = engine

    @property
    def shotgun(self):
        """The engine's connection to the site."""
        return self.engine.shotgun

    def init_app(self):
        """For apps to begin with."""

    def destroy_app(self):
        """For apps to end with."""


def load(engine, instance_name, settings, descriptor):
    """The app of a bundle, which is loaded under a bare hexadecimal name each time."""
    kind = loader.load_plugin(os.path.join(descriptor.get_path(), "app.py"), Application)
    return kind(engine, instance_name, settings, descriptor)
