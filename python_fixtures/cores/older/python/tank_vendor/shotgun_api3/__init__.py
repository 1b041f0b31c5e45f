"""The site's client library, older."""

from .shotgun import AuthenticationFault, Fault, ProtocolError, Shotgun, ShotgunError

CORE_VERSION = "@VERSION@"
__version__ = "3.2.0+@VERSION@"
