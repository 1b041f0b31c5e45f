"""The connection to a site, by the library that the core takes under its real name."""

from tank_vendor import shotgun_api3
from tank_vendor.shotgun_api3 import Shotgun
from tank_vendor.shotgun_api3.lib.httplib2 import host

CORE_VERSION = "@VERSION@"

API_VERSION = shotgun_api3.CORE_VERSION


def site_name(url):
    """The host of a site's address."""
    return host(url)


def connection(url):
    """A connection to a site."""
    return Shotgun(url, connect=False)


def certificates():
    """Where the connection looks for certificates."""
    return Shotgun._get_certs_file()
