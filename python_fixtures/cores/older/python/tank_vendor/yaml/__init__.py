"""A YAML library, older: mappings of plain values."""

from .loader import safe_load

CORE_VERSION = "@VERSION@"
__version__ = "3.10+@VERSION@"
