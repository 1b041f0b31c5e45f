"""Helpers, among them the ones that import late."""

from . import filesystem, loader, metrics, pins, shotgun, yaml_cache
from .late import AROUND_BUILTIN, THROUGH_BUILTIN, late, late_until
from .survey import Farewell, baked_versions, foreign_modules

CORE_VERSION = "@VERSION@"
