"""A YAML library, newer: mappings of plain values."""

from .loader import safe_load

CORE_VERSION = "@VERSION@"
__version__ = "6.0+@VERSION@"
