"""The site's client library, older."""

from .shotgun import Shotgun

CORE_VERSION = "@VERSION@"
__version__ = "3.2.0+@VERSION@"
