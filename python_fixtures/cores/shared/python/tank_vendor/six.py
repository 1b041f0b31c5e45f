"""One name for what Python 2 and 3 call differently, resolved when it is first touched.

Hazards: an importer is appended to `sys.meta_path` for good, and one of the same name that another core left
there is taken out; `moves` and what is below it are not ordinary modules, have no file, and run code when an
attribute is missing; a module of the standard library gets a second name, `tank_vendor.six.moves.queue`, and
stays what it was.
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
        self.moved = {}

    def add(self, name, places):
        """Makes the lazy module `name` (relative to the owner) importable."""
        full = "%s.%s" % (self.owner, name)
        self.known[full] = LazyModule(full, places)
        return self.known[full]

    def add_moved(self, name, real):
        """Makes the module `real` importable as `name` (relative to the owner)."""
        self.moved["%s.%s" % (self.owner, name)] = real

    def find_spec(self, fullname, path=None, target=None):
        """Answers for the modules that were added, and for no other."""
        if fullname in self.known or fullname in self.moved:
            return ModuleSpec(fullname, self, is_package=fullname in self.known)
        return None

    def create_module(self, spec):
        """The module that is there already."""
        if spec.name in self.known:
            return self.known[spec.name]
        module = importlib.import_module(self.moved[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        """Nothing to run; a moved module gets back the spec that the import system took from it."""
        module.__spec__ = module.__spec__.loader_state or module.__spec__


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
_importer.add_moved("moves.queue", "queue")
_importer.add(
    "moves.urllib.parse", {"urlparse": ("urllib.parse", "urlparse"), "quote": ("urllib.parse", "quote")}
)

for _index, _other in enumerate(sys.meta_path):
    if type(_other).__name__ == "MovesImporter" and _other.owner == __name__:
        del sys.meta_path[_index]
        break
sys.meta_path.append(_importer)
