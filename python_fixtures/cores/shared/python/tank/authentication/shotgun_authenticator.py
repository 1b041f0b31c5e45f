"""Makes users."""

from .console_authentication import ConsoleLoginHandler
from .errors import IncompleteCredentials
from .user import ScriptUser

CORE_VERSION = "@VERSION@"


class ShotgunAuthenticator(object):
    """Makes users, of scripts; others are asked for their passwords, where anybody is there."""

    def __init__(self, defaults_manager=None):
        self._defaults_manager = defaults_manager

    def create_script_user(self, api_script, api_key, host=None, http_proxy=None):
        """The user of a script; whether its key is the right one shows at the first call of the site."""
        if not host:
            raise IncompleteCredentials("missing host")
        return ScriptUser(host, api_script, api_key, http_proxy)

    def get_default_user(self):
        """The user that the project's settings name: none, here."""
        return None

    def get_user(self):
        """A user by asking somebody."""
        host, login, password = ConsoleLoginHandler().authenticate("https://studio.example", "somebody", None)
        return ScriptUser(host, login, password)
