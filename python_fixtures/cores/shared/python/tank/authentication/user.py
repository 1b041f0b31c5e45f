"""Users of a site.

Hazard: a core swap carries the user over as text, key included, and makes a new object of the new core's
class.
"""

import json

from tank_vendor.shotgun_api3 import Shotgun

from .errors import IncompleteCredentials

CORE_VERSION = "@VERSION@"


class ShotgunUser(object):
    """A name and a site."""

    core_version = CORE_VERSION

    def __init__(self, login, host, http_proxy=None):
        self.login = login
        self.host = host
        self.http_proxy = http_proxy


class ScriptUser(ShotgunUser):
    """A script with its key. It has no login."""

    def __init__(self, host, api_script, api_key, http_proxy=None):
        super(ScriptUser, self).__init__(None, host, http_proxy)
        if not api_script or not api_key:
            raise IncompleteCredentials("missing api_script and/or api_key")
        self._script = api_script
        self._key = api_key

    def create_sg_connection(self):
        """A connection in the script's name, which is made at its first call."""
        return Shotgun(
            self.host, script_name=self._script, api_key=self._key, http_proxy=self.http_proxy, connect=False
        )

    def to_dict(self):
        """All there is to know."""
        return {
            "host": self.host,
            "api_script": self._script,
            "api_key": self._key,
            "http_proxy": self.http_proxy,
        }

    def __repr__(self):
        return "<ScriptUser %s @ %s>" % (self._script, self.host)

    def __str__(self):
        return self._script


def serialize_user(user):
    """The user as text."""
    return json.dumps({"type": "ScriptUser", "data": user.to_dict()})


def deserialize_user(payload):
    """The user that a text means, as one of this core's."""
    return ScriptUser(**json.loads(payload)["data"])
