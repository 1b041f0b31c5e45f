"""Asks on the terminal who wants in.

Hazard: whether anybody is there is not asked; what reads the answer waits forever.
"""

from .errors import AuthenticationCancelled

CORE_VERSION = "@VERSION@"


class ConsoleAuthenticationHandlerBase(object):
    """Asks for a password."""

    def authenticate(self, hostname, login, http_proxy):
        """The site, the login and a session's token."""
        password = input("Password of %s: " % login)
        if not password:
            raise AuthenticationCancelled()
        return hostname, login, password


class ConsoleLoginHandler(ConsoleAuthenticationHandlerBase):
    """For a login."""
