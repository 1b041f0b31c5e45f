"""A package of the daemon that has nothing to do with Toolkit but starts like it."""

from . import volume

CORE_VERSION = None
state = {"opened": 0}
