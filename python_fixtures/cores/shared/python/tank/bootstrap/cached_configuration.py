"""Distributed configurations."""

import os

from tank_vendor import yaml

from ..descriptor import Descriptor
from ..log import LogManager
from ..util import filesystem
from .configuration import Configuration
from .errors import TankBootstrapError

CORE_VERSION = "@VERSION@"

log = LogManager.get_logger(__name__)


class CachedConfiguration(Configuration):
    """A distributed configuration: it and its core are copied to a place of the project's, each time."""

    def __init__(self, path, descriptor, connection, project_id, plugin_id, configuration_id, roots):
        super(CachedConfiguration, self).__init__(path, descriptor)
        self._connection = connection
        self._project_id = project_id
        self._plugin_id = plugin_id
        self._configuration_id = configuration_id
        self._roots = list(roots)
        self._storages = {}
        self._project_name = "unnamed"

    def verify_required_shotgun_fields(self):
        """Sees whether the site has the storages that are needed, and the project a name on disk."""
        self._need(self.descriptor, "configuration")
        if self._project_id is None:
            return
        storages = {
            one["code"]: one for one in self._connection.find("LocalStorage", [], ["code", "linux_path"])
        }
        wanted = self._read("roots.yml")
        missing = [name for name in wanted if name not in storages]
        if missing:
            raise TankBootstrapError("the site has no storage for the roots: %s" % ", ".join(missing))
        self._storages = {name: storages[name]["linux_path"] for name in wanted}
        # A project that is not there is an error here, as it is in the real one.
        project = self._connection.find_one("Project", [["id", "is", self._project_id]], ["tank_name"])
        if project["tank_name"] is None:
            raise TankBootstrapError("project %s has no tank_name" % self._project_id)
        self._project_name = project["tank_name"]

    def update_configuration(self):
        """
        Copies the configuration and its core into place.

        Hazard: where that fails and there is one from before, that one serves on, and only the log says so.
        """
        config = os.path.join(self.path, "config")
        before = os.path.isdir(config) and os.path.isdir(os.path.join(self.path, "install", "core"))
        try:
            self._install()
        except Exception as error:
            if not before:
                raise
            log.error(
                "%s is not installed, going on with what was there: %s", self.descriptor.get_uri(), error
            )

    def _install(self):
        location = self._read("core_api.yml").get("location")
        if location is None:
            raise TankBootstrapError("%s does not say which core it wants" % self.descriptor)
        core = Descriptor(location, self._roots)
        self._need(core, "core")
        name = "Unmanaged"
        if self._configuration_id is not None:
            found = self._connection.find_one(
                "PipelineConfiguration", [["id", "is", self._configuration_id]], ["code"]
            )
            name = found["code"]
        config = os.path.join(self.path, "config")
        filesystem.replace_folder(self.descriptor.get_path(), config)
        bundled = os.path.join(self.descriptor.get_path(), "bundle_cache")
        if os.path.isdir(bundled):
            self._roots.append(bundled)
        self._write(
            "pipeline_configuration.yml",
            {
                "project_name": self._project_name,
                "project_id": "" if self._project_id is None else self._project_id,
                "pc_name": name,
                "pc_id": "" if self._configuration_id is None else self._configuration_id,
                "plugin_id": self._plugin_id or "",
                "bundle_caches": os.pathsep.join(self._roots),
            },
        )
        self._write(
            "roots.yml",
            {root: os.path.join(path, self._project_name) for root, path in self._storages.items()},
        )
        filesystem.replace_folder(core.get_path(), os.path.join(self.path, "install", "core"))

    def cache_bundles(self, configuration, engine, tell):
        """Sees which bundles are there; one that is not is only logged."""
        found = {}
        for name in configuration.get_environments():
            environment = configuration.get_environment(name)
            for one in environment.get_engines():
                if engine in (None, one):
                    bundles = [environment.get_engine_descriptor(one)]
                    bundles += [environment.get_app_descriptor(one, app) for app in environment.get_apps(one)]
                    found.update((bundle.get_uri(), bundle) for bundle in bundles)
        for index, bundle in enumerate(found.values()):
            if bundle.exists_local():
                tell("Checking %s (%s of %s)." % (bundle, index + 1, len(found)), index, len(found))
            else:
                tell("Downloading %s (%s of %s)..." % (bundle, index + 1, len(found)), index, len(found))
                log.error("%s can't be downloaded, and is left out", bundle)

    def _need(self, descriptor, what):
        if not descriptor.exists_local():
            raise TankBootstrapError("%s %s does not exist on disk" % (what, descriptor.get_uri()))

    def _read(self, name):
        path = os.path.join(self.descriptor.get_path(), "core", name)
        if not os.path.exists(path):
            return {}
        with open(path) as stream:
            return yaml.safe_load(stream) or {}

    def _write(self, name, mapping):
        folder = os.path.join(self.path, "config", "core")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "w") as stream:
            stream.writelines("%s: %s\n" % pair for pair in mapping.items())
