"""A small Toolkit core.

Hazards: pushes another core's `tank_vendor` aside under names of its own making, and sets `TANK_CURRENT_PC`
for good when the core lies inside a configuration.
"""

import os
import sys
import uuid

__version__ = "@VERSION@"
CORE_VERSION = "@VERSION@"

#: What the import found when it began.
AT_IMPORT = {
    "path": sys.path[0],
    "configuration": os.environ.get("TANK_CURRENT_PC"),
    "names": sorted(name for name in sys.modules if name.startswith(("tank", "sgtk"))),
}


def _set_foreign_vendor_aside():
    """Renames the modules of a `tank_vendor` that came from elsewhere; they stay in `sys.modules` forever."""
    loaded = sys.modules.get("tank_vendor")
    if loaded is None:
        return
    ours = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tank_vendor")
    if os.path.dirname(os.path.abspath(loaded.__file__)) == ours:
        return
    prefix = "_tank_vendor_swap_%s_" % uuid.uuid4().hex
    for name in [name for name in sys.modules if name.split(".")[0] == "tank_vendor"]:
        sys.modules[prefix + name] = sys.modules.pop(name)


def _claim_configuration():
    """Names the configuration that this core lies in, unless some configuration is named already."""
    if "TANK_CURRENT_PC" in os.environ:
        return
    configuration = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 4))
    if os.path.exists(os.path.join(configuration, "config", "core", "roots.yml")):
        os.environ["TANK_CURRENT_PC"] = configuration


_set_foreign_vendor_aside()
_claim_configuration()

from .log import LogManager
from . import authentication, bootstrap, platform, util
from .errors import TankError, TankHookMethodDoesNotExistError, TankUnreadableFileError
from .context import Context
from .hook import Hook, get_hook_baseclass
from .template import Template
from .api import (
    Sgtk,
    Tank,
    get_authenticated_user,
    set_authenticated_user,
    sgtk_from_entity,
    sgtk_from_path,
    tank_from_path,
)

# The last module of the import: the broken cores fail here, when nearly all else is in place.
from . import commands
