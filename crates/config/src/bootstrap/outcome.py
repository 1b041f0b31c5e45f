"""What a bootstrap has come to, and how that differs from what was asked for."""

import functools
import logging
import os
import sys


class UnexpectedOutcome(Exception):
    """The engine that was bootstrapped is not what was asked for, and the options say that this is an error.
    """


class _Errors(logging.Handler):
    """Keeps what Toolkit logs as errors: what it goes on without is told nowhere else."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.messages = []
        self.not_updated = None
        self._loggers = []
        self.begin()

    def begin(self):
        """Listens to the logger that Toolkit's are below. Another core may have another one."""
        logger = logging.getLogger("sgtk")
        if self not in logger.handlers:
            logger.addHandler(self)
            self._loggers.append(logger)

    def end(self):
        for logger in self._loggers:
            logger.removeHandler(self)

    def emit(self, record):
        try:
            message = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                message += ": %s: %s" % (type(record.exc_info[1]).__name__, record.exc_info[1])
            self.messages.append(" ".join(message.split()))
        except Exception:
            pass

    def about(self, *names):
        """The messages in which one of the names is."""
        names = [name for name in names if name]
        return "; ".join(one for one in self.messages if any(name in one for name in names))


def _watch_updates(errors):
    """
    Notes where a configuration's update ends without an exception and has logged an error: Toolkit restores
    the configuration that was there before, and goes on with it.
    """
    from tank.bootstrap.cached_configuration import CachedConfiguration as kind

    original = kind.update_configuration
    original = getattr(original, "sgtk_host_original", original)

    @functools.wraps(original)
    def update_configuration(self, *args, **kwargs):
        before = len(errors.messages)
        outcome = original(self, *args, **kwargs)
        if len(errors.messages) > before:
            errors.not_updated = errors.messages[before]
        return outcome

    update_configuration.sgtk_host_original = original
    kind.update_configuration = update_configuration


def _files_of_core(module):
    """The module `tank` that is loaded, and what its core's files look like."""
    install = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(module.__file__))))
    files = [os.path.join(install, *parts) for parts in (("info.yml",), ("python", "tank", "__init__.py"))]
    return sys.modules.get("tank"), [_stamp(file) for file in files]


def _compare(engine, options, errors, starting):
    """Notes on the engine what is not as it was asked for; an error where the options say so."""
    found = list(_differences(engine, options, errors, starting))
    engine.sgtk_host_differences = found
    if found and options.get("strict"):
        try:
            destroy()
        finally:
            raise UnexpectedOutcome("; ".join(message for _, message in found))


def _differences(engine, options, errors, starting):
    tank = engine.sgtk
    configuration = tank.pipeline_configuration
    project = _number(lambda: (engine.context.project or {})["id"])
    entity = options.get("entity") or {}
    if entity.get("type") == "Project" and project != entity["id"]:
        yield "project", "project %s was asked for, and the engine is in %s" % (entity["id"], project)
    owner = _number(configuration.get_project_id)
    wanted = entity["id"] if entity.get("type") == "Project" else project
    if None not in (owner, wanted) and owner != wanted:
        path = _text(configuration.get_path)
        yield "configuration", "the configuration in %s is project %s's, and not %s's" % (path, owner, wanted)

    asked, user = options.get("site"), _ask(lambda: sys.modules["tank"].get_authenticated_user())
    site = _text(lambda: user.host)
    if asked and site and _address(asked) != _address(site):
        yield "site", "the site %s was asked for, and the engine's user is of %s" % (asked, site)

    asked = options.get("pipeline_configuration")
    if asked is not None:
        name, number = _text(lambda: tank.configuration_name), _number(lambda: tank.configuration_id)
        if asked not in (name, number):
            told = "%r (%s)" % (name, number)
            yield (
                "configuration",
                "pipeline configuration %r was asked for, and the engine has %s" % (asked, told),
            )
    number = _number(lambda: tank.configuration_id)
    if project is not None and number is not None and _is_asked_by_number(options):
        # Toolkit takes one that is named by its number whoever's it is.
        fields = "PipelineConfiguration", [["id", "is", number]], ["project"]
        owner = _number(lambda: engine.shotgun.find_one(*fields)["project"]["id"])
        if owner not in (None, project):
            told = "pipeline configuration %s is project %s's, and the engine is in project %s"
            yield "configuration", told % (number, owner, project)
    if errors.not_updated:
        told = "the configuration could not be brought up to date, and what was there before is used: %s"
        yield "restored", told % errors.not_updated

    module, stamps = starting
    loaded = sys.modules.get("tank")
    if loaded is module and _files_of_core(loaded)[1] != stamps:
        folder = os.path.dirname(os.path.dirname(os.path.abspath(loaded.__file__)))
        yield "core", "the core in memory is not the one that is now on disk in %s: it was rewritten" % folder
    own = os.path.join(_text(configuration.get_path) or "", "install", "core")
    if loaded is not None and os.path.exists(os.path.join(own, "_core_upgrader.py")):
        expected = os.path.realpath(os.path.join(own, "python", "tank"))
        if os.path.realpath(os.path.dirname(loaded.__file__)) != expected:
            told = (expected, os.path.dirname(os.path.abspath(loaded.__file__)))
            yield "core", "the configuration's core is %s, and %s is loaded" % told

    for name, reason in _left_out(engine, errors):
        yield "app", "app %s was left out: %s" % (name, reason)


def _is_asked_by_number(options):
    """Whether the options say which pipeline configuration it is to be by its number."""
    asked = options.get("pipeline_configuration")
    variables = options.get("variables") or {}
    return isinstance(asked, int) or "SHOTGUN_PIPELINE_CONFIGURATION_ID" in variables


def _address(site):
    """What two addresses of one site have in common."""
    from urllib.parse import urlsplit

    parts = urlsplit(site if "//" in site else "https://" + site)
    port = _ask(lambda: parts.port) or {"http": 80}.get(parts.scheme, 443)
    return parts.hostname, port, parts.path.rstrip("/")


def _left_out(engine, errors):
    """The apps of the engine's environment that it has not loaded, each with the reason as far as it was
    logged.
    """
    name = _ask(lambda: engine.environment["name"])
    if name is None:
        return
    environment = engine.sgtk.pipeline_configuration.get_environment(name)
    instance = engine.instance_name
    for app in _ask(lambda: environment.get_apps(instance)) or ():
        if app not in engine.apps:
            descriptor = _text(lambda app=app: environment.get_app_descriptor(instance, app))
            yield app, errors.about(descriptor, app) or "nothing was logged"


def pipeline_configuration_path(engine):
    """The folder of the engine's pipeline configuration: what `TANK_CURRENT_PC` has to be for it."""
    path = engine.sgtk.pipeline_configuration.get_path()
    if not path:
        raise ValueError("the engine's pipeline configuration names no folder")
    return path


def describe(engine):
    """
    What there is to tell of an engine in plain values; `None` for what its core does not tell. The
    configuration's folder has to be told: `TANK_CURRENT_PC` is that.
    """
    tank = engine.sgtk
    core = sys.modules["tank"]
    descriptor = _ask(lambda: tank.configuration_descriptor)
    project = _ask(lambda: engine.context.project) or {}
    entity = _ask(lambda: engine.context.entity) or project or {}
    return {
        "core": os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(core.__file__)))),
        "core_version": _text(lambda: tank.version),
        "engine": _text(lambda: engine.instance_name),
        "engine_version": _text(lambda: engine.version),
        "configuration": str(pipeline_configuration_path(engine)),
        "configuration_name": _text(lambda: tank.configuration_name),
        "configuration_id": _number(lambda: tank.configuration_id),
        "configuration_version": _text(lambda: descriptor.version),
        "configuration_descriptor": _text(lambda: descriptor.get_uri()),
        "project_id": _number(lambda: project["id"]),
        "project_name": _text(lambda: project["name"]),
        "entity_type": _text(lambda: entity["type"]),
        "entity_id": _number(lambda: entity["id"]),
        # Each with its kind.
        "differences": [list(pair) for pair in getattr(engine, "sgtk_host_differences", ())],
    }


def _ask(question):
    try:
        return question()
    except Exception:
        return None


def _text(question):
    value = _ask(question)
    return None if value is None else str(value)


def _number(question):
    value = _ask(question)
    return value if isinstance(value, int) else None
