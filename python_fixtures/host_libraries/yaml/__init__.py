"""The daemon's own YAML library, of another version than any core's."""

from .loader import safe_load

CORE_VERSION = "host"
__version__ = "5.4+host"
