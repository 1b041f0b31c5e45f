"""What a daemon's own Python code does in the tests, and how they see what the process is like."""

import ctypes
import logging
import os
import sys
import warnings

HOST_PACKAGES, HOST_LIBRARIES = HOST_PACKAGES, HOST_LIBRARIES

#: Attributes of `sys` that the interpreter itself changes.
VOLATILE = {"last_exc", "last_type", "last_value", "last_traceback"}
STANDARD = os.path.dirname(os.__file__) + os.sep


def late(function, *arguments):
    """What a function gives, or `"Type: message"` of what it raises."""
    try:
        return function(*arguments)
    except BaseException as error:
        return "%s: %s" % (type(error).__name__, error)


def toolkit_names():
    """The names that the recipe takes out."""
    return sorted(name for name in sys.modules if name.startswith(("tank", "sgtk")))


def is_standard(name, module):
    """Whether a module is the standard library's or built into the interpreter."""
    spec = getattr(module, "__spec__", None)
    if spec is None and "." in name:
        # `typing.io` of older Pythons, which is a class.
        parent = name.rpartition(".")[0]
        return parent in sys.modules and is_standard(parent, sys.modules[parent])
    origin = getattr(spec, "origin", None) or ""
    return origin in ("built-in", "frozen") or origin.startswith(STANDARD) and "site-packages" not in origin


def c_environment():
    """The environment as the C library, and so a child process, has it."""
    size = ctypes.POINTER(ctypes.c_char_p)
    entries, index, found = size.in_dll(ctypes.CDLL(None), "environ"), 0, {}
    while entries[index] is not None:
        name, _, value = entries[index].partition(b"=")
        found[name] = value
        index += 1
    return found


def logger_state(logger):
    """What can be seen of a logger."""
    if isinstance(logger, logging.PlaceHolder):
        return (logger, sorted(child.name for child in logger.loggerMap))
    return (logger, list(logger.handlers), logger.level, logger.propagate, logger.disabled, logger.parent)


def snapshot():
    """Names, order and identity of all that a project could change."""
    return {
        "modules": list(sys.modules.items()),
        "path": list(sys.path),
        "meta_path": list(sys.meta_path),
        "path_hooks": list(sys.path_hooks),
        "lists": [sys.modules, sys.path, sys.meta_path, sys.path_hooks, os.environ, warnings.filters],
        "sys": sorted(
            (item for item in vars(sys).items() if item[0] not in VOLATILE), key=lambda item: item[0]
        ),
        "environ": list(os.environ._data.items()),
        "c_environ": sorted(c_environment().items()),
        "loggers": [
            (name, logger_state(logger)) for name, logger in logging.Logger.manager.loggerDict.items()
        ],
        "root_logger": logger_state(logging.getLogger()),
        "filters": list(warnings.filters),
    }


def same(one, other):
    """Equality of the containers and identity of what they hold; texts by value."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (str, bytes, int)):
        return one == other
    if one is other:
        return True
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return False


def differences(before):
    """What is not as in the snapshot; standard library modules that came since may stay."""
    after, told = snapshot(), []
    known = {name for name, _ in before["modules"]}
    after["modules"] = [
        (name, module) for name, module in after["modules"] if name in known or not is_standard(name, module)
    ]
    for part in before:
        if not same(before[part], after[part]):
            told.append("%s: %s" % (part, describe(before[part], after[part])))
    return told


def describe(before, after):
    """The entries of one list that the other has not."""
    gone = [entry for entry in before if not any(same(entry, other) for other in after)]
    came = [entry for entry in after if not any(same(entry, other) for other in before)]
    return "%d before, %d after, gone %.300r, came %.300r" % (len(before), len(after), gone, came)
