"""Marks an install folder as one that holds a core: a configuration with this file is localized."""

CORE_VERSION = "@VERSION@"
