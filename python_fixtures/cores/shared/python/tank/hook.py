"""Hooks: classes from files of a configuration or of the core.

Hazard: a hook's file is loaded under a bare hexadecimal name that belongs to no package.
"""

import os

from .errors import TankHookMethodDoesNotExistError
from .util import loader

CORE_VERSION = "@VERSION@"

_classes = {}


class Hook(object):
    """Base of all hooks."""

    core_version = CORE_VERSION

    def __init__(self, parent=None):
        self.parent = parent


def get_hook_baseclass():
    """What a hook's file derives its class from."""
    return Hook


def bundled(name):
    """The path of a hook that comes with the core."""
    install = os.path.abspath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))
    return os.path.join(install, "hooks", name + ".py")


def core_hook(name, configuration):
    """The path of a hook: the configuration's own, or the one that comes with the core."""
    own = configuration and os.path.join(configuration.path, "config", "core", "hooks", name + ".py")
    return own if own and os.path.exists(own) else bundled(name)


def clear_hooks_cache():
    """Has each hook loaded anew when it is next run."""
    _classes.clear()


def execute_hook(path, method="execute", parent=None, **arguments):
    """Runs a method of the hook in the file `path`; the file is loaded once for each core."""
    if path not in _classes:
        _classes[path] = loader.load_plugin(path, Hook)
    hook = _classes[path](parent)
    if not hasattr(hook, method):
        raise TankHookMethodDoesNotExistError("%s has no method %s" % (path, method))
    return getattr(hook, method)(**arguments)
