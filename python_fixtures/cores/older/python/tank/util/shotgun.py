"""The connection to a site.

Hazard: this core's library has `lib.sgsix`, a newer core's has not. Where a newer core's finder still answers
for `tank_vendor`, the import of this module fails.
"""

from tank_vendor import shotgun_api3
from tank_vendor.shotgun_api3.lib import sgsix
from tank_vendor.six.moves import urllib
from tank_vendor.six.moves.queue import Queue

CORE_VERSION = "@VERSION@"

API_VERSION = shotgun_api3.CORE_VERSION


pending = Queue()


def site_name(url):
    """The host of a site's address."""
    return sgsix.text(urllib.parse.urlparse(url).netloc)


def connection(url):
    """A connection to a site."""
    return shotgun_api3.Shotgun(url, connect=False)
