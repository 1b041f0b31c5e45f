"""Exceptions of who is asking."""

from ..errors import TankError

CORE_VERSION = "@VERSION@"


class ShotgunAuthenticationError(TankError):
    """Nobody can be let in like that."""


class IncompleteCredentials(ShotgunAuthenticationError):
    """A name or a key is missing."""


class AuthenticationCancelled(ShotgunAuthenticationError):
    """Whoever was asked does not want to answer."""

    def __init__(self):
        super(AuthenticationCancelled, self).__init__("cancelled")
