"""Raises what Ctrl-C raises: no `except Exception` stops it."""

CORE_VERSION = "@VERSION@"

raise KeyboardInterrupt("in the middle of an import")
