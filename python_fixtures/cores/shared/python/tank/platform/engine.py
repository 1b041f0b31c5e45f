"""One engine for each copy of the core.

Hazards: an engine's log handlers, and a thread that sends metrics, last until it is destroyed, and forever
where its initialisation raises; apps that can't be loaded are only logged; the log file stays open.
"""

import logging
import os

from .. import hook
from ..errors import TankError
from ..log import LogManager
from ..util import loader, metrics
from . import application
from .bundle import TankBundle
from .errors import TankEngineInitError, TankMissingEngineError

CORE_VERSION = "@VERSION@"

log = LogManager.get_logger(__name__)

current = None


def set_current_engine(engine):
    """Has this be the engine that runs, or none."""
    global current
    current = engine


class EngineHandler(logging.Handler):
    """Hands records to the engine, which shows them where it likes."""

    core_version = CORE_VERSION

    def __init__(self, engine):
        super(EngineHandler, self).__init__()
        self._engine = engine

    def emit(self, record):
        self._engine._emit_log_message(self, record)


class Engine(TankBundle):
    """A running engine; without an environment it has no code of its own and no apps."""

    def __init__(self, tk, context, instance_name, environment):
        settings = environment and environment.get_engine_settings(instance_name)
        descriptor = environment and environment.get_engine_descriptor(instance_name)
        super(Engine, self).__init__(tk, context, instance_name, settings, descriptor)
        self._environment = environment
        self.apps = {}
        self.commands = {}
        self._initializing = None
        self._metrics = None
        self._handler = None
        if environment is None:
            return
        self._handler = LogManager().initialize_custom_handler(EngineHandler(self))
        self.init_engine()
        self.pre_app_init()
        self._load_apps(environment)
        self.post_app_init()
        self._metrics = metrics.MetricsDispatcher(self)
        self._metrics.start()

    def __repr__(self):
        return "<Sgtk Engine 0x%x: %s>" % (id(self), self.instance_name)

    @property
    def environment(self):
        """What there is to tell of the environment; nothing where there is none."""
        return {"name": self._environment.name} if self._environment else {}

    @property
    def shotgun(self):
        """A connection to the site."""
        return self.sgtk.shotgun

    def init_engine(self):
        """For engines to begin with."""

    def pre_app_init(self):
        """For engines to do something before the apps are there."""

    def post_app_init(self):
        """For engines to do something when the apps are there."""

    def destroy_engine(self):
        """For engines to end with."""

    def _emit_log_message(self, handler, record):
        """For engines that show what is logged."""

    def register_command(self, name, callback, properties=None):
        """Makes something that an app can do known; running it is a metric."""
        properties = dict(properties or {}, app=self._initializing)

        def run(*arguments, **named):
            metrics.queue.append({"event": "Launched Command", "command": properties.get("short_name", name)})
            return callback(*arguments, **named)

        self.commands[name] = {"callback": run, "properties": properties}

    def destroy(self):
        """Ends the engine; raises when the core that runs has another one, or none."""
        global current

        # Like much in an engine that imports late: another core's, when that has taken this one's place.
        from tank.platform import current_engine

        if current_engine() is not self:
            raise TankError("%s is not the current engine" % self.name)
        for name, app in reversed(list(self.apps.items())):
            log.debug("destroying app %s", name)
            app.destroy_app()
        self.destroy_engine()
        current = None
        hook.clear_hooks_cache()
        if self._metrics:
            self._metrics.stop()
        if self._handler:
            LogManager().root_logger.removeHandler(self._handler)

    def _load_apps(self, environment):
        for name in environment.get_apps(self.instance_name):
            descriptor = environment.get_app_descriptor(self.instance_name, name)
            if not descriptor.exists_local():
                log.error("app %s is not on disk", descriptor)
                continue
            try:
                app = application.load(
                    self, name, environment.get_app_settings(self.instance_name, name), descriptor
                )
                self._initializing = app
                app.init_app()
            except Exception:
                log.exception("app %s can't be loaded", name)
            else:
                self.apps[name] = app
            finally:
                self._initializing = None


def start(name, tk, context):
    """Starts the engine `name`: of the configuration's environment, or without any where there is no
    configuration.
    """
    global current
    if current is not None:
        raise TankError("an engine is already running: %s" % current.name)
    configuration = tk and tk.pipeline_configuration
    if not configuration or not configuration.get_environments():
        current = Engine(tk, context, name, None)
    else:
        if LogManager().base_file_handler is None:
            LogManager().initialize_base_file_handler(name)
        current = _of_environment(name, tk, context, configuration)
    log.debug("engine %s started", name)
    return current


def _of_environment(name, tk, context, configuration):
    environment = configuration.get_environment(tk.execute_core_hook("pick_environment", context=context))
    if name not in environment.get_engines():
        raise TankMissingEngineError("environment %s has no engine %s" % (environment.name, name))
    descriptor = environment.get_engine_descriptor(name)
    if not descriptor.exists_local():
        raise TankEngineInitError("Cannot start engine! %s does not exist on disk" % descriptor.get_uri())
    kind = loader.load_plugin(os.path.join(descriptor.get_path(), "engine.py"), Engine)
    return kind(tk, context, name, environment)
