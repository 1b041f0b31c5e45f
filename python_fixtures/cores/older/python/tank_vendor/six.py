"""One name for what Python 2 and 3 call differently, resolved when it is first touched.

Hazards: an importer is appended to `sys.meta_path` for good, and one of the same name that another core left there is
taken out; `moves` and what is below it are not ordinary modules, have no file, and run code when an attribute is
missing.
"""

import importlib
import sys
import types
from importlib.machinery import ModuleSpec

CORE_VERSION = "@VERSION@"

# A package without a folder: `six.moves` is found by the importer below alone.
__path__ = []

PY3 = True
string_types = (str,)


class LazyModule(types.ModuleType):
    """A module whose attributes are looked up elsewhere when first asked for."""

    def __init__(self, name, places):
        super(LazyModule, self).__init__(name)
        self.__dict__["CORE_VERSION"] = CORE_VERSION
        self.__dict__["__path__"] = []
        self.__dict__["places"] = places
        # What was asked for and not there: code that only looks at modules should leave this empty.
        self.__dict__["asked_in_vain"] = []

    def __getattr__(self, name):
        try:
            module, attribute = self.__dict__["places"][name]
        except KeyError:
            self.__dict__["asked_in_vain"].append(name)
            raise AttributeError("%s has no %s" % (self.__name__, name)) from None
        found = importlib.import_module(module)
        if attribute:
            found = getattr(found, attribute)
        setattr(self, name, found)
        return found


class MovesImporter(object):
    """Finds and loads the lazy modules of one `six`."""

    core_version = CORE_VERSION

    def __init__(self, owner):
        self.owner = owner
        self.known = {}

    def add(self, name, places):
        """Makes `name` (relative to the owner) importable."""
        full = "%s.%s" % (self.owner, name)
        self.known[full] = LazyModule(full, places)
        return self.known[full]

    def find_spec(self, fullname, path=None, target=None):
        """Answers for the lazy modules alone."""
        if fullname in self.known:
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        """The module that is there already."""
        return self.known[spec.name]

    def exec_module(self, module):
        """Nothing to run."""


_importer = MovesImporter(__name__)
moves = _importer.add(
    "moves",
    {
        "builtins": ("builtins", None),
        "queue": ("queue", None),
        "zip": ("builtins", "zip"),
        "urllib": (__name__ + ".moves.urllib", None),
        # Not on this platform, perhaps not on any: touching it is an error.
        "dbm_gnu": ("a_module_that_is_nowhere", None),
    },
)
_importer.add("moves.urllib", {"parse": (__name__ + ".moves.urllib.parse", None)})
_importer.add("moves.urllib.parse", {"urlparse": ("urllib.parse", "urlparse"), "quote": ("urllib.parse", "quote")})

for _index, _other in enumerate(sys.meta_path):
    if type(_other).__name__ == "MovesImporter" and _other.owner == __name__:
        del sys.meta_path[_index]
        break
sys.meta_path.append(_importer)
