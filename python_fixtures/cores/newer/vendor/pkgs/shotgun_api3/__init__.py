"""The site's client library, newer: without `lib.sgsix`."""

from .shotgun import AuthenticationFault, Fault, ProtocolError, Shotgun, ShotgunError

CORE_VERSION = "@VERSION@"
__version__ = "3.9.0+@VERSION@"
