"""Who is asking."""

from .user import ShotgunUser

CORE_VERSION = "@VERSION@"
