"""The client."""

import os

from .lib import sgsix

CORE_VERSION = "@VERSION@"


class Shotgun(object):
    """A connection that never connects."""

    core_version = CORE_VERSION

    def __init__(self, base_url):
        self.base_url = sgsix.text(base_url)

    @staticmethod
    def _get_certs_file(ca_certs=None):
        """Where the certificates are."""
        return ca_certs or os.path.join(os.path.dirname(__file__), "lib", "cacert.pem")
