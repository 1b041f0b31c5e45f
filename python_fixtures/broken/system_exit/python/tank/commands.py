"""Ends the program, as code that was meant for a command line does."""

import sys

CORE_VERSION = "@VERSION@"

sys.exit("this core wants another Python")
