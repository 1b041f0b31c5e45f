"""Not imported with the core; see `tank.util.late`.

Hazard: its own imports run while it is being loaded, when nobody knows yet whose its globals are.
"""

import tank.constants
from tank.errors import TankError

if TankError.core_version != "@VERSION@" or tank.constants.CORE_VERSION != "@VERSION@":
    raise ImportError("loaded for @VERSION@ but given %s" % tank.constants.CORE_VERSION)

CORE_VERSION = "@VERSION@"


def deeper():
    """Imports what nothing imported so far."""
    from tank import late_d
    from ...deferred import further

    return late_d.CORE_VERSION if late_d.CORE_VERSION == further.CORE_VERSION else further.CORE_VERSION
