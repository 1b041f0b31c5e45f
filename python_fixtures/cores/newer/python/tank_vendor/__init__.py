"""The libraries of the core, out of zips and under their real names.

Hazards: every zip goes to `sys.path[0]`, by its real path even where the core was reached through a symbolic
link; a library that is loaded already, whoever loaded it, is taken as it is, and its `Shotgun` gets one more
wrapper; the finder for `tank_vendor.x` goes to the head of `sys.meta_path` once in a process, and a core that
comes later leaves the first one's in place.
"""

import glob
import importlib
import os
import sys
import warnings
import zipfile
from importlib.machinery import ModuleSpec

CORE_VERSION = "@VERSION@"

_PREFIX = __name__ + "."


class TankVendorFinder(object):
    """Answers for `tank_vendor.x` with the module called `x`, whichever that is."""

    core_version = CORE_VERSION

    def find_spec(self, fullname, path=None, target=None):
        """A spec that leads to the real module; None where there is no such module."""
        if not fullname.startswith(_PREFIX):
            return None
        try:
            real = importlib.import_module(fullname[len(_PREFIX) :])
        except ImportError:
            return None
        spec = ModuleSpec(fullname, self, is_package=hasattr(real, "__path__"))
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.extend(real.__path__)
        return spec

    def create_module(self, spec):
        """The real module. The import system gives it this spec: its own name and origin are lost from there.
        """
        return sys.modules[spec.name[len(_PREFIX) :]]

    def exec_module(self, module):
        """Nothing to run: it is loaded."""


def _provided_by(zip_path):
    """The top-level names in a zip."""
    with zipfile.ZipFile(zip_path) as archive:
        names = {entry.split("/")[0] for entry in archive.namelist()}
    return sorted(name[:-3] if name.endswith(".py") else name for name in names if not name.startswith("_"))


def _take(zip_path):
    """Puts a zip at the head of `sys.path` and imports all that it provides, under both names."""
    sys.path.insert(0, zip_path)
    for name in _provided_by(zip_path):
        if _PREFIX + name in sys.modules:
            continue
        try:
            module = importlib.import_module(name)
        except Exception as error:
            warnings.warn("can't import %s from %s: %s" % (name, zip_path, error), RuntimeWarning)
            continue
        sys.modules[_PREFIX + name] = module
        globals()[name] = module


def _wrap_certificates(folder):
    """Makes the client read certificates from a folder, as it can't from inside a zip."""
    client = sys.modules["shotgun_api3"].Shotgun
    original = client._get_certs_file
    certificates = os.path.join(folder, "certs", "cacert.pem")

    def _get_certs_file(ca_certs=None):
        return original(ca_certs) if ca_certs else certificates

    _get_certs_file.wrapped = original
    _get_certs_file.core_version = CORE_VERSION
    client._get_certs_file = staticmethod(_get_certs_file)


def certificate_wrappers():
    """The cores that wrapped the client's method, the last one first: one, when nobody shares it."""
    found, function = [], sys.modules["shotgun_api3"].Shotgun._get_certs_file
    while hasattr(function, "wrapped"):
        found.append(function.core_version)
        function = function.wrapped
    return found


_install = os.path.realpath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))
_own = os.path.join(_install, "requirements", "%d.%d" % sys.version_info[:2])
if not os.path.exists(os.path.join(_own, "pkgs.zip")):
    warnings.warn("no libraries for this Python: %s" % _own, RuntimeWarning)
else:
    _take(os.path.join(_own, "pkgs.zip"))
    _wrap_certificates(_own)
for _shared in sorted(glob.glob(os.path.join(_install, "requirements", "any", "*.zip"))):
    _take(_shared)

if getattr(sys, "_tank_vendor_meta_finder", None) is None:
    _finder = sys._tank_vendor_meta_finder = TankVendorFinder()
    sys.meta_path.insert(0, _finder)
