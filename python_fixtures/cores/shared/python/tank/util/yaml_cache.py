"""Reads YAML files with the core's own library."""

from tank_vendor import yaml

CORE_VERSION = "@VERSION@"

YAML_VERSION = yaml.CORE_VERSION

_cache = {}


def load(path):
    """The contents of a file, read once."""
    if path not in _cache:
        with open(path) as stream:
            _cache[path] = yaml.safe_load(stream) or {}
    return _cache[path]
