"""Nothing is pinned by this generation: no type hints yet."""

CORE_VERSION = "@VERSION@"
