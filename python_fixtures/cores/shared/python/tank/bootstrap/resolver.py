"""Which configuration a project has: what the site says, or the base configuration."""

import fnmatch
import os
import sys

from ..descriptor import Descriptor
from ..log import LogManager
from ..util import filesystem
from .cached_configuration import CachedConfiguration
from .configuration import InstalledConfiguration
from .errors import TankBootstrapError

CORE_VERSION = "@VERSION@"

log = LogManager.get_logger(__name__)

_PLATFORM_PATH = {"win32": "windows_path", "darwin": "mac_path"}.get(sys.platform, "linux_path")
_FIELDS = ["code", "project", "users", "plugin_ids", "windows_path", "linux_path", "mac_path", "descriptor"]


class ConfigurationResolver(object):
    """Finds the configuration of a project for a plug-in."""

    def __init__(self, plugin_id, project_id, fallback_roots):
        self._plugin_id = plugin_id
        self._project_id = project_id
        self._roots = fallback_roots

    def resolve_configuration(self, location, connection):
        """The configuration that a descriptor means."""
        if location is None:
            raise TankBootstrapError("there is no descriptor of a configuration")
        return self._cached(Descriptor(location, self._roots), connection, None)

    def resolve_shotgun_configuration(self, wanted, fallback, connection, login):
        """The configuration that the site has for the project, by name or id where one is wanted."""
        if isinstance(wanted, int):
            found = connection.find_one("PipelineConfiguration", [["id", "is", wanted]], _FIELDS)
            if found is None:
                raise TankBootstrapError("the site has no pipeline configuration %s" % wanted)
        else:
            found = self._best(self._candidates(wanted, connection, login))
        if found is None:
            return self.resolve_configuration(fallback, connection)
        if found.get("linux_path") or found.get("mac_path") or found.get("windows_path"):
            path = found.get(_PLATFORM_PATH)
            if not path:
                raise TankBootstrapError(
                    "pipeline configuration %s has no path for this platform" % found["id"]
                )
            if not os.path.isdir(path):
                raise TankBootstrapError("pipeline configuration %s is not on disk" % found["id"])
            return InstalledConfiguration(path, Descriptor({"type": "path", "path": path}))
        return self._cached(Descriptor(found["descriptor"], self._roots), connection, found["id"])

    def _candidates(self, name, connection, login):
        """The pipeline configurations of the project, and of the site, that are for the plug-in."""
        project = {"type": "Project", "id": self._project_id} if self._project_id is not None else None
        whose = {
            "filter_operator": "any",
            "filters": [["users.HumanUser.login", "is", login], ["users", "is", None]],
        }
        filters = [
            {"filter_operator": "any", "filters": [["project", "is", project], ["project", "is", None]]},
            ["code", "is", name] if name else whose,
        ]
        order = [{"field_name": "id", "direction": "asc"}]
        for found in connection.find("PipelineConfiguration", filters, _FIELDS, order):
            plugins = [one.strip() for one in (found.get("plugin_ids") or "").split(",") if one.strip()]
            located = found.get("descriptor") if plugins else found.get(_PLATFORM_PATH)
            if plugins and any(fnmatch.fnmatch(self._plugin_id or "", one) for one in plugins):
                meant = located or found.get(_PLATFORM_PATH)
            else:
                meant = not plugins and located and (found["project"] or {}).get("id") == self._project_id
            if meant:
                yield found
            else:
                log.warning("pipeline configuration %s is of no use here", found["id"])

    @staticmethod
    def _best(candidates):
        """A sandbox of the project, the project's, a sandbox of the site, the site's: the first one there is.
        """

        def rank(found):
            return (
                found["project"] is None,
                found["code"] == "Primary",
                bool(found.get("plugin_ids")),
                found["id"],
            )

        return min(candidates, key=rank, default=None)

    def _cached(self, descriptor, connection, configuration_id):
        path = filesystem.configuration_root(
            connection.base_url, self._project_id, self._plugin_id, configuration_id
        )
        return CachedConfiguration(
            path, descriptor, connection, self._project_id, self._plugin_id, configuration_id, self._roots
        )
