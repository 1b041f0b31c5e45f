"""Not imported with the core; see `tank.util.late`."""

from .constants import CORE_VERSION

VALUE = CORE_VERSION
