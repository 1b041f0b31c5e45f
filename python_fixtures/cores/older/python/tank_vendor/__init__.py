"""The libraries of the core, as packages below this one."""

CORE_VERSION = "@VERSION@"
