"""Not the other name of `tank` but a module of its own."""

from tank import *
from tank import __version__

CORE_VERSION = "@VERSION@"
