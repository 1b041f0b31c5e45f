"""Stands in an attached configuration for the core that lies elsewhere, and gives way to it.

Hazards: only the first line of the pointer is read, `~` is not expanded, the core's folder goes to
`sys.path[0]`, and `TANK_CURRENT_PC` is overwritten.
"""

import importlib
import os
import sys

_install = os.path.abspath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))
_platform = {"win32": "Windows", "darwin": "Darwin"}.get(sys.platform, "Linux")
with open(os.path.join(_install, "core_%s.cfg" % _platform)) as _pointer:
    _core = os.path.expandvars(_pointer.readline().strip())
_python = os.path.join(_core, "install", "core", "python")
if not os.path.isdir(_python):
    raise Exception("the shared core is not there: %s" % _python)

os.environ["TANK_CURRENT_PC"] = os.path.dirname(os.path.dirname(_install))
sys.path.insert(0, _python)
importlib.reload(sys.modules[__name__])
