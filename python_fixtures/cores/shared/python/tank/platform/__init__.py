"""Engines.

Hazard: the current engine is a global of this module.
"""

from .errors import TankEngineInitError
from . import engine
from .engine import Engine

CORE_VERSION = "@VERSION@"


def start_engine(name, tk, context):
    """Starts an engine; there can be one at a time for each copy of the core."""
    return engine.start(name, tk, context)


def current_engine():
    """The engine that runs, or None."""
    return engine.current
