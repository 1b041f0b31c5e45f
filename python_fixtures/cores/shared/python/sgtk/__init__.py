"""The other name of `tank`.

Hazards: its first import is that of the core, so that nobody has seen any of its code before; this module
replaces itself in `sys.modules` while it is being imported, and every `tank.x` that is loaded by now gets a
second name `sgtk.x`. A module that is imported later has the first name only.
"""

import tank

import sys

for _name, _module in list(sys.modules.items()):
    if _name == "tank" or _name.startswith("tank."):
        sys.modules["sgtk" + _name[len("tank") :]] = _module
