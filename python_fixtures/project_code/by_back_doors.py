"""Code of a project that reaches below what it is given, for the limits of isolation in one process."""

import pickle
import socket
import sys

import sgtk

AT_IMPORT = sgtk.CORE_VERSION


def version_of_what_is_in_place():
    """Of the `sgtk` in the interpreter's own dictionary of modules."""
    return vars(sys)["modules"]["sgtk"].CORE_VERSION


def own_version():
    return sys.modules["sgtk"].CORE_VERSION


def is_the_interpreters(path):
    return [vars(sys)["path"] is path, sys.path is path]


def appended(entry):
    """Appends below the methods of what `sys.path` is, and tells whether that shows."""
    list.append(sys.path, entry)
    return entry in sys.path


def below():
    """How many modules C code sees that looks below the methods."""
    return [dict.__len__(sys.modules), len(sys.modules) > 0]


def dumped():
    return pickle.dumps(sgtk.TankError)


def loaded(data):
    return pickle.loads(data) is sgtk.TankError


def set_timeout():
    socket.setdefaulttimeout(7)


def set_attribute():
    sys.by_back_doors = "set"
