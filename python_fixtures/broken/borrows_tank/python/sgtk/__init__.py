"""The other name of a `tank` that lies in another core's folder."""

import sys

sys.path.insert(0, "@ELSEWHERE@")

import tank

for _name, _module in list(sys.modules.items()):
    if _name == "tank" or _name.startswith("tank."):
        sys.modules["sgtk" + _name[len("tank"):]] = _module
