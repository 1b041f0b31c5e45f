"""In a namespace package: `ruamel` has no file, and merges with one that the host has elsewhere."""

CORE_VERSION = "@VERSION@"
