"""Which modules are loaded, and from which core: the test of a mix."""

import sys

CORE_VERSION = "@VERSION@"


def baked_versions():
    """The version baked into each loaded module that has one, by the module's name."""
    found = {}
    for name, module in list(sys.modules.items()):
        version = getattr(module, "__dict__", {}).get("CORE_VERSION")
        if version is not None:
            found[name] = version
    return found


def foreign_modules():
    """The loaded modules that come from another core than this one."""
    return sorted(name for name, version in baked_versions().items() if version != CORE_VERSION)
