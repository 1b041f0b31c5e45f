"""Not imported with the core; has the name of a module of the standard library."""

CORE_VERSION = "@VERSION@"
