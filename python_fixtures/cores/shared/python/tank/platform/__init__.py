"""Engines and apps.

Hazard: the current engine is a global of a module here.
"""

from .errors import TankEngineInitError, TankMissingEngineError
from . import engine
from .application import Application
from .engine import Engine

CORE_VERSION = "@VERSION@"


def start_engine(name, tk, context):
    """Starts an engine; there can be one at a time for each copy of the core."""
    return engine.start(name, tk, context)


def current_engine():
    """The engine that runs, or None."""
    return engine.current


def restart():
    """Ends the engine that runs and starts it anew: another object."""
    running = engine.current
    name, tk, context = running.instance_name, running.sgtk, running.context
    running.destroy()
    return start_engine(name, tk, context)
