"""A core of a given number of modules, for measuring."""

__version__ = "@VERSION@"
CORE_VERSION = "@VERSION@"

from .log import LogManager
from .errors import TankError
from tank_vendor import shotgun_api3, yaml
from . import bulk
