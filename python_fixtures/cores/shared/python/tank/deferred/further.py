"""Not imported with the core; see `tank.util.late`."""

CORE_VERSION = "@VERSION@"
