"""Versions of packages."""

from . import version

CORE_VERSION = "@VERSION@"
