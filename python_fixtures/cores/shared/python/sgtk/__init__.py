"""The other name of `tank`.

Hazard: this module replaces itself in `sys.modules` while it is being imported, and every `tank.x` that is loaded by
now gets a second name `sgtk.x`. A module that is imported later has the first name only.
"""

import sys

import tank

for _name, _module in list(sys.modules.items()):
    if _name == "tank" or _name.startswith("tank."):
        sys.modules["sgtk" + _name[len("tank"):]] = _module
