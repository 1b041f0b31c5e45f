"""The published way to import a project's Toolkit core again in one process, as it behaves, faults included.

It is here to be compared with. One line can be had as it was (`verbatim=True`): the removal of modules while
`sys.modules` is iterated over, which Python 3 refuses.
"""

import os
import sys

CORE_PYTHON = os.path.join("install", "core", "python")


def _unload(verbatim):
    """Takes out every module whose name starts like Toolkit's, whoever owns it; its libraries stay."""
    names = filter(lambda name: name.startswith("tank") or name.startswith("sgtk"), sys.modules)
    for name in names if verbatim else list(names):
        sys.modules.pop(name)


def _core_python(base, project):
    """Where the core is: in the configuration, where its pointer leads, or the studio's."""
    config = os.path.join(base, project)
    if os.path.exists(os.path.join(config, "install", "core", "_core_upgrader.py")):
        return os.path.join(config, CORE_PYTHON)
    pointer = os.path.join(config, "install", "core", "core_Linux.cfg")
    if os.path.exists(pointer):
        with open(pointer) as stream:
            # As it stands in the file, line end and all.
            return os.path.join(stream.read(), CORE_PYTHON)
    return os.path.join(base, "studio", CORE_PYTHON)


def import_sgtk(project, verbatim=False):
    """Imports and returns the `sgtk` of a project; the one before it is gone from `sys.modules`."""
    base = os.getenv("SHOTGUN_BASE", "/mnt/sgtk/configs")
    _unload(verbatim)
    core_python = _core_python(base, project)

    # Meant for the entry of the project before; takes whatever is first.
    if sys.path[0] != "":
        sys.path.pop(0)
    sys.path = [core_python] + sys.path

    os.environ.pop("TANK_CURRENT_PC", None)

    import sgtk

    return sgtk
