"""Which modules are loaded, and from which core: the test of a mix."""

import sys

CORE_VERSION = "@VERSION@"


def baked_versions():
    """The version baked into each loaded module that has one, by the module's name."""
    found = {}
    # A copy is made in one step; a list is not, as the collector may let others run between two items.
    for name, module in sys.modules.copy().items():
        # Not `getattr`: it would run the code of lazy modules. An object without a dictionary has a class
        # with one.
        known = module.__dict__ if _has_dict(module) else type(module).__dict__
        version = known.get("CORE_VERSION")
        if version is not None:
            found[name] = version
    return found


def _has_dict(thing):
    try:
        object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return False
    return True


class Farewell(object):
    """Tells, when it is let go of, what an import would find then: `tell(own version, version of the loaded
    tank)`.

    Hazard: while modules are taken out and put in, letting go of the wrong one runs code like this in
    between.
    """

    def __init__(self, tell):
        self.tell = tell

    def __del__(self):
        loaded = sys.modules.get("tank")
        self.tell(CORE_VERSION, loaded and loaded.__dict__.get("CORE_VERSION"))


def foreign_modules():
    """The loaded modules that come from another core than this one."""
    return sorted(name for name, version in baked_versions().items() if version != CORE_VERSION)
