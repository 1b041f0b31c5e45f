"""Where a configuration, a core or a bundle comes from: `sgtk:descriptor:path?path=/a/b`, or the same as a
mapping.
"""

import os
import sys
from urllib.parse import parse_qsl, quote

from .errors import TankError

CORE_VERSION = "@VERSION@"

_PLATFORM_PATH = {"win32": "windows_path", "darwin": "mac_path"}.get(sys.platform, "linux_path")


class TankDescriptorError(TankError):
    """A descriptor that means nothing."""


class Descriptor(object):
    """A place. Kinds `path` and `dev` name it; others are looked for in bundle caches, as
    `<cache>/<type>/<name>/<version>`.
    """

    def __init__(self, location, fallback_roots=()):
        self._dict = _from_uri(location) if isinstance(location, str) else dict(location)
        kind = self._dict.get("type")
        if kind in ("path", "dev"):
            path = self._dict.get("path") or self._dict.get(_PLATFORM_PATH)
            if not path:
                raise TankDescriptorError("no path for this platform in %s" % self._dict)
            self._path = os.path.normpath(os.path.expanduser(os.path.expandvars(path)))
            self.version = self._dict.get("version", "Undefined")
            self.system_name = os.path.basename(self._path)
        elif kind and self._dict.get("name"):
            self.version = self._dict.get("version", "Undefined")
            self.system_name = self._dict["name"]
            places = [os.path.join(root, kind, self.system_name, self.version) for root in fallback_roots]
            self._path = next((place for place in places if os.path.isdir(place)), None)
        else:
            raise TankDescriptorError("no descriptor: %r" % (location,))

    def get_path(self):
        """The folder, or None where no cache has it."""
        return self._path

    def exists_local(self):
        """Whether it is there."""
        return self._path is not None and os.path.isdir(self._path)

    def get_uri(self):
        """The descriptor in one line."""
        rest = "&".join(
            "%s=%s" % (key, quote(value, "/")) for key, value in sorted(self._dict.items()) if key != "type"
        )
        return "sgtk:descriptor:%s?%s" % (self._dict["type"], rest)

    def __str__(self):
        return "%s %s" % (self.system_name, self.version)


def _from_uri(uri):
    prefix, _, query = uri.partition("?")
    scheme, _, kind = prefix.rpartition(":")
    if scheme != "sgtk:descriptor" or not query:
        raise TankDescriptorError("no descriptor: %s" % uri)
    return dict(parse_qsl(query), type=kind)
