"""A user of a site."""

CORE_VERSION = "@VERSION@"


class ShotgunUser(object):
    """A name and a site."""

    def __init__(self, login, host):
        self.login = login
        self.host = host
