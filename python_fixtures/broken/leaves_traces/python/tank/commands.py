"""Changes all of the process's state that an import can change, then fails.

Hazard: an undo that knows only of `sys.modules` and `sys.path` leaves the rest behind.
"""

import logging
import os
import sys
import types
import warnings

CORE_VERSION = "@VERSION@"


class Finder(object):
    """Finds nothing; left at both ends of `sys.meta_path`."""

    core_version = CORE_VERSION

    def find_spec(self, fullname, path=None, target=None):
        """None."""


_here = os.path.dirname(os.path.abspath(__file__))
# Paths: at the head, at the end, and in the middle.
sys.path.insert(0, os.path.join(_here, "traces", "head"))
sys.path.insert(2, os.path.join(_here, "traces", "middle"))
sys.path.append(os.path.join(_here, "traces", "tail"))
# Finders, an attribute of `sys` that keeps one alive, and one that was there before.
sys._trace_finder = Finder()
sys.meta_path.insert(0, sys._trace_finder)
sys.meta_path.append(Finder())
# The environment: a new variable, the configuration of somebody else, and a changed one.
os.environ["SGTK_FIXTURE_TRACE"] = CORE_VERSION
os.environ["TANK_CURRENT_PC"] = os.path.join(_here, "nowhere")
os.environ["SHOTGUN_HOME"] = os.path.join(_here, "home")
# Loggers: one of its own with a handler, one more handler on the shared one, and a level.
logging.getLogger("sgtk.trace").addHandler(logging.NullHandler())
logging.getLogger("tank.trace").propagate = False
logging.getLogger("sgtk").addHandler(logging.NullHandler())
logging.getLogger("sgtk").setLevel(logging.CRITICAL)
# Warnings, rebound and not only appended to.
warnings.filters = [("ignore", None, UserWarning, None, 0)] + list(warnings.filters)
# Names in `sys.modules` that no file stands for.
sys.modules["tank.never"] = None
sys.modules["sgtk_trace"] = types.ModuleType("sgtk_trace")
sys.modules["core_swap_0123456789abcdef0123456789abcdef_tank"] = types.ModuleType("tank")

raise ImportError("this core fails when it has changed everything")
