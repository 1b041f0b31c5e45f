"""Loads classes from files that are in no package.

Hazards: what fails half way stays in `sys.modules`; the error that it failed with is text in another one.
"""

import importlib.util
import inspect
import sys
import traceback
import uuid

from ..errors import TankError

CORE_VERSION = "@VERSION@"


class TankLoadPluginError(TankError):
    """A file can't be loaded, or has no class in it."""


def load_source(path):
    """Loads the file under a bare hexadecimal name."""
    name = uuid.uuid4().hex
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        raise TankLoadPluginError("%s can't be loaded:\n%s" % (path, "".join(lines)))
    return module


def load_plugin(path, base):
    """The one class in the file that derives from `base`."""
    module = load_source(path)
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, base) and member.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TankLoadPluginError("%s: %d classes derive from %s" % (path, len(found), base.__name__))
    return found[0]
