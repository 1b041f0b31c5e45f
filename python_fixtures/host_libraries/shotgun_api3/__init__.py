"""The daemon's own client library, of another version than any core's."""

CORE_VERSION = "host"
__version__ = "3.4.0+host"


class Shotgun(object):
    """A connection that never connects."""

    core_version = CORE_VERSION

    def __init__(self, base_url):
        self.base_url = base_url

    @staticmethod
    def _get_certs_file(ca_certs=None):
        """Where the certificates are."""
        return ca_certs or "host.pem"
