"""The way from a core that belongs to no project to an engine of one.

Hazards: a callback that raises `TypeError` is called again, with other arguments; what else it raises ends
the bootstrap; the end is told twice, as an integer; after the swap the methods here are an old core's, and
nothing puts it back when something fails.
"""

import os

from ..log import LogManager
from .errors import TankBootstrapError
from .resolver import ConfigurationResolver

CORE_VERSION = "@VERSION@"

log = LogManager.get_logger(__name__)


class ToolkitManager(object):
    """Bootstraps engines for one user."""

    CACHE_SPARSE, CACHE_FULL = range(2)
    TOOLKIT_BOOTSTRAP_PHASE, ENGINE_STARTUP_PHASE = range(2)

    def __init__(self, sg_user=None):
        if sg_user is None:
            from ..authentication import ShotgunAuthenticator

            sg_user = ShotgunAuthenticator().get_user()
        self._sg_user = sg_user
        self._sg_connection = sg_user.create_sg_connection()
        self._progress_callback = None
        self.pre_engine_start_callback = None
        self.bundle_cache_fallback_paths = []
        self.caching_policy = self.CACHE_SPARSE
        self.pipeline_configuration = None
        self.base_configuration = None
        self.do_shotgun_config_lookup = True
        self.plugin_id = None
        self.allow_config_overrides = True
        if os.environ.get("SHOTGUN_PIPELINE_CONFIGURATION_ID", "").isdigit():
            self.pipeline_configuration = int(os.environ["SHOTGUN_PIPELINE_CONFIGURATION_ID"])

    @property
    def progress_callback(self):
        """Called with the share that is done and a message."""
        return self._progress_callback or self._log_progress

    @progress_callback.setter
    def progress_callback(self, callback):
        self._progress_callback = callback

    @property
    def entry_point(self):
        """An old name for the plug-in's id."""
        return self.plugin_id

    @entry_point.setter
    def entry_point(self, plugin_id):
        self.plugin_id = plugin_id

    def bootstrap_engine(self, engine_name, entity=None):
        """Starts an engine for an entity, or for the site, and returns it."""
        tk = self._bootstrap_sgtk(engine_name, entity)
        engine = self._start_engine(tk, engine_name, entity)
        self._report(1, "Engine launched.")
        return engine

    def bootstrap_engine_async(
        self, engine_name, entity=None, completed_callback=None, failed_callback=None, parent=None
    ):
        """The same without waiting, if there were Qt: there is none, so it waits."""
        phase = self.TOOLKIT_BOOTSTRAP_PHASE
        try:
            tk = self._bootstrap_sgtk(engine_name, entity)
            phase = self.ENGINE_STARTUP_PHASE
            engine = self._start_engine(tk, engine_name, entity)
        except Exception as error:
            if failed_callback:
                failed_callback(phase, error)
            return
        self._report(1, "Engine launched.")
        if completed_callback:
            completed_callback(engine)

    def _bootstrap_sgtk(self, engine_name, entity):
        self._report(0.0, "Resolving project...")
        project_id = self._project_id(entity)
        self._report(0.05, "Resolving configuration...")
        roots = self.bundle_cache_fallback_paths + [
            path
            for path in os.environ.get("SHOTGUN_BUNDLE_CACHE_FALLBACK_PATHS", "").split(os.pathsep)
            if path
        ]
        resolver = ConfigurationResolver(self.plugin_id, project_id, roots)
        if os.environ.get("TK_BOOTSTRAP_CONFIG_OVERRIDE") and self.allow_config_overrides:
            override = {"type": "dev", "path": os.environ["TK_BOOTSTRAP_CONFIG_OVERRIDE"]}
            configuration = resolver.resolve_configuration(override, self._sg_connection)
        elif self.do_shotgun_config_lookup:
            configuration = resolver.resolve_shotgun_configuration(
                self.pipeline_configuration, self.base_configuration, self._sg_connection, self._sg_user.login
            )
        else:
            configuration = resolver.resolve_configuration(self.base_configuration, self._sg_connection)
        configuration.verify_required_shotgun_fields()
        self._report(0.1, "Updating configuration...")
        configuration.update_configuration()
        self._report(0.15, "Starting up Toolkit...")
        tk, self._sg_user = configuration.get_tk_instance(self._sg_user)
        engine = engine_name if self.caching_policy == self.CACHE_SPARSE else None
        configuration.cache_bundles(tk.pipeline_configuration, engine, self._report_bundle)
        return tk

    def _start_engine(self, tk, engine_name, entity):
        self._report(0.95, "Resolving context...")
        context = tk.context_empty() if entity is None else tk.context_from_entity_dictionary(entity)
        self._report(0.97, "Launching Engine...")
        if self.pre_engine_start_callback:
            self.pre_engine_start_callback(context)

        # The new core's.
        import tank

        engine = tank.platform.start_engine(engine_name, tk, context)
        self._report(1, "Engine launched.")
        return engine

    def _project_id(self, entity):
        if entity is None or entity["type"] == "Project":
            return entity and entity["id"]
        found = self._sg_connection.find_one(entity["type"], [["id", "is", entity["id"]]], ["project"])
        if not found or not found["project"]:
            raise TankBootstrapError("%s %s is of no project" % (entity["type"], entity["id"]))
        return found["project"]["id"]

    def _report_bundle(self, message, index, count):
        self._report(0.2 + index * (0.7 / count), message)

    def _report(self, value, message):
        log.debug("%s%%: %s", int(value * 100), message)
        callback = self.progress_callback
        try:
            callback(value, message)
        except TypeError:
            callback(message, None, None)

    @staticmethod
    def _log_progress(value, message):
        log.debug("%s %s", value, message)
