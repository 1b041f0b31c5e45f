"""Loads classes from files that are in no package."""

import importlib.util
import inspect
import sys
import uuid

from ..errors import TankError

CORE_VERSION = "@VERSION@"


def load_source(path):
    """Loads the file under a bare hexadecimal name."""
    name = uuid.uuid4().hex
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
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
        raise TankError("%s: %d classes derive from %s" % (path, len(found), base.__name__))
    return found[0]
