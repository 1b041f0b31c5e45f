"""The steps of a bootstrap, for both ways to an engine: in the daemon's interpreter and in a worker process.

Standard library only, Python 3.7 and later. Nothing of Toolkit is imported before a function here is called.
"""

import functools
import importlib
import logging
import os
import sys

# Modules of swapped cores whose code may still be running.
_swapped = []

# The files of this process's engine, and what looks at them.
_watched = []
# The same while another core is in place.
_suspended = []
_watching = []


class UnexpectedOutcome(Exception):
    """The engine that was bootstrapped is not what was asked for, and the options say that this is an error.
    """


def bootstrap(
    sgtk, options, enter, progress, swap_core=None, make_user=None, before_engine=None, learn=None, turn=None
):
    """
    Bootstraps an engine from a core that belongs to no project, and returns it.

    :param sgtk: the starting core's module.
    :param options: what `Bootstrap::to_json` gives: Toolkit's names, `None` for what was not set.
    :param enter: called with the name of each step when it begins.
    :param progress: Toolkit's progress callback, `(value, message)`.
    :param swap_core: puts the core with this `python` folder in place of the starting one and imports `tank`
        from it; without it, `swap_in_this_process`.
    :param make_user: given `sgtk`, makes the user; without it, the options' script user, else the starting
        core's own.
    :param before_engine: called with the engine's context just before the engine starts, after the options'
        own hook.
    :param learn: called with each key that comes up: see `learn_keys`.
    :param turn: the `FolderTurn` of this bootstrap, which the caller ends; without it, one that ends here.
    """
    own = FolderTurn(seconds=options.get("timeout")) if turn is None else None
    try:
        engine = _bootstrap(
            sgtk, options, enter, progress, swap_core, make_user, before_engine, learn, turn or own
        )
        if own is not None:
            _keep_own_files(engine, own)
        return engine
    finally:
        if own is not None:
            own.end()


def _bootstrap(sgtk, options, enter, progress, swap_core, make_user, before_engine, learn, turn):
    be_unattended()
    set_variables(options)
    hurry(options.get("timeout"))
    try:
        return _hurried_bootstrap(
            sgtk, options, enter, progress, swap_core, make_user, before_engine, learn, turn
        )
    finally:
        relax()


def _hurried_bootstrap(sgtk, options, enter, progress, swap_core, make_user, before_engine, learn, turn):
    learn_keys(learn)
    ask_nobody()
    enter("authenticate")
    limit_site_calls(options.get("site_timeout"))
    user = make_user(sgtk) if make_user else _user(sgtk, options)
    sgtk.set_authenticated_user(user)

    enter("set up")
    turn.watch()
    starting = _files_of_core(sgtk)
    errors = _Errors()
    try:
        engine = _engine(sgtk, user, options, enter, progress, swap_core, before_engine, errors, learn)
    finally:
        errors.end()
    _compare(engine, options, errors, starting)
    return engine


def own_files(engine, turn):
    """The engine's `OwnFiles`: its core's, and its configuration's where bootstraps rewrite that. Within the
    turn.
    """
    core = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(sys.modules["tank"].__file__))))
    path = os.path.abspath(pipeline_configuration_path(engine))
    folders = [core, path] if path == turn.folder else [core]
    label = _text(lambda: "%s (%s)" % (engine.context, engine.instance_name)) or engine.instance_name
    files = OwnFiles(label, folders)
    sys.meta_path.insert(0, files)
    return files


def _keep_own_files(engine, turn):
    """Has this process, which is one engine's, read nothing that another bootstrap has put into the engine's
    folders.
    """
    # A bootstrap before in this process had its own.
    del _suspended[:]
    _watched[:] = [own_files(engine, turn)]
    _watch_own_files()


def keep_own_core(core):
    """
    Has this process, which is one project's, read nothing that an upgrade has put into its core's folder.

    :param core: the core's `install/core` folder; None for a process that is to have another core.
    """
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in _watched]
    del _watched[:]
    if core is not None:
        files = OwnFiles(core, [core], _OF_A_CORE, newcomers=True)
        sys.meta_path.insert(0, files)
        _watched.append(files)
        _watch_own_files()


def suspend_watch():
    """
    Has the process read what is there, as another core takes the place of its own: project code bootstraps by
    itself, perhaps the very folder that the process's own engine has.
    """
    if _watched and not _suspended:
        _suspended[:], _watched[:] = _watched, ()
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in _suspended]


def watch_again():
    """Has the process keep its own files again, now that what project code has bootstrapped by itself is
    gone.
    """
    if _suspended:
        _watched[:], _suspended[:] = _suspended, ()
        sys.meta_path[:0] = [finder for finder in _watched if finder not in sys.meta_path]


def _watch_own_files():
    if _watching or not hasattr(sys, "addaudithook"):
        return

    def audit(event, args):
        if event in ("open", "os.listdir", "os.scandir") and args and isinstance(args[0], (str, bytes)):
            for files in _watched:
                if not files.has(os.fsdecode(args[0])):
                    continue
                if sys._getframe(1).f_globals.get("__name__") not in SHOWS_LINES:
                    files.check(event, *args)

    sys.addaudithook(audit)
    _watching.append(audit)


def _engine(sgtk, user, options, enter, progress, swap_core, before_engine, errors, learn):
    _replace_swap(swap_core or swap_in_this_process, enter, options.get("site_timeout"), errors, learn)
    _watch_updates(errors)
    manager = sgtk.bootstrap.ToolkitManager(sg_user=user)
    manager.plugin_id = options["plugin_id"]
    for name in ("base_configuration", "pipeline_configuration", "do_shotgun_config_lookup"):
        if options.get(name) is not None:
            setattr(manager, name, options[name])
    if options.get("bundle_cache_fallback_paths"):
        manager.bundle_cache_fallback_paths = options["bundle_cache_fallback_paths"]
    manager.allow_config_overrides = bool(options.get("allow_config_overrides"))
    full = options.get("caching_policy") == "full"
    manager.caching_policy = manager.CACHE_FULL if full else manager.CACHE_SPARSE
    manager.pre_engine_start_callback = _pre_engine(options, before_engine)
    manager.progress_callback = progress

    enter("resolve configuration")
    return manager.bootstrap_engine(options["engine"], entity=options.get("entity"))


def set_variables(options):
    """Has the environment hold what this project's options say, and nothing that somebody else's would steer
    it by.
    """
    for name in options.get("steering_variables") or ():
        if name != "TK_BOOTSTRAP_CONFIG_OVERRIDE" or not options.get("allow_config_overrides"):
            os.environ.pop(name, None)
    os.environ.update(options.get("variables") or {})


def _pre_engine(options, before_engine):
    """What Toolkit is to call before it starts the engine, or None."""
    hook = options.get("pre_engine_hook")
    synchronize = options.get("synchronize_filesystem_structure")
    if not (hook or synchronize or before_engine):
        return None

    def call(context):
        if synchronize:
            # Older cores' contexts have no `sgtk`.
            (getattr(context, "sgtk", None) or context.tank).synchronize_filesystem_structure()
        if hook:
            module, _, function = hook.partition(":")
            found = importlib.import_module(module)
            for name in function.split("."):
                found = getattr(found, name)
            found(context)
        if before_engine:
            before_engine(context)

    return call


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

    asked = options.get("pipeline_configuration")
    if asked is not None:
        name, number = _text(lambda: tank.configuration_name), _number(lambda: tank.configuration_id)
        if asked not in (name, number):
            told = "%r (%s)" % (name, number)
            yield (
                "configuration",
                "pipeline configuration %r was asked for, and the engine has %s" % (asked, told),
            )
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


def _user(sgtk, options):
    authenticator = sgtk.authentication.ShotgunAuthenticator()
    if not options.get("script_name"):
        user = authenticator.get_default_user()
        if user is None:
            raise ValueError("no script user was given, and the starting core names none in its shotgun.yml")
        return user
    return authenticator.create_script_user(
        api_script=options["script_name"],
        api_key=options["script_key"],
        host=options["site"],
        http_proxy=options.get("http_proxy"),
    )


def set_script_user(sgtk, user):
    """Has a script user be the core's; `user` is what `create_script_user` takes."""
    # Older cores do not import it by themselves.
    authentication = getattr(sgtk, "authentication", None) or importlib.import_module("sgtk.authentication")
    sgtk.set_authenticated_user(authentication.ShotgunAuthenticator().create_script_user(**user))


def _replace_swap(swap_core, enter, site_timeout, errors, learn=None):
    """Toolkit's own swap leaves the first core's libraries and finders to the second. This one's replaces it.
    """
    from tank.bootstrap.import_handler import CoreImportHandler

    def swap(core_path):
        import tank

        enter("swap core")
        suspend_watch()
        log_file = tank.LogManager().uninitialize_base_file_handler()
        swap_core(core_path)
        # The new one from here on.
        import tank

        if log_file and hasattr(tank.LogManager, "initialize_base_file_handler_from_path"):
            tank.LogManager().initialize_base_file_handler_from_path(log_file)
        limit_site_calls(site_timeout)
        learn_keys(learn)
        ask_nobody()
        errors.begin()
        enter("start core")

    CoreImportHandler.swap_core = staticmethod(swap)


def swap_in_this_process(core_path):
    """
    Puts a core in place of the one that is loaded, with libraries of its own.

    For a process with one project. What still runs of the core before finds the new one's modules when it
    imports, as after Toolkit's own swap.
    """
    import tank

    if not os.path.isdir(core_path):
        raise ValueError("the core's python folder %r does not exist" % (core_path,))
    old_python = os.path.dirname(os.path.dirname(os.path.abspath(tank.__file__)))
    old_core = os.path.dirname(old_python)

    def of_old_core(path):
        return any(
            path == place or path.startswith(place + os.sep)
            for core in {old_core, os.path.realpath(old_core)}
            for place in (os.path.join(core, "python"), os.path.join(core, "requirements"))
        )

    gone = []
    for name, module in sys.modules.copy().items():
        top = name.partition(".")[0]
        path = getattr(module, "__dict__", {}).get("__file__")
        if top in ("tank", "sgtk", "tank_vendor") or isinstance(path, str) and of_old_core(path):
            gone.append(sys.modules.pop(name))
    _swapped.append(gone)
    # Told by where a class says that it was made: a module's globals may name `dict` and the like as well.
    names = {getattr(module, "__dict__", {}).get("__name__") for module in gone}
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ not in names]
    for name in [name for name, value in vars(sys).items() if type(value).__module__ in names]:
        delattr(sys, name)
    sys.path[:] = [core_path] + [entry for entry in sys.path if not of_old_core(entry)]
    os.environ.pop("TANK_CURRENT_PC", None)
    # Both names, as a core's modules use either.
    __import__("sgtk")
    __import__("tank")


#: The attributes of a connection's settings that nobody is to see.
_SECRET_SETTINGS = frozenset(
    (
        "api_key",
        "session_token",
        "user_password",
        "auth_token",
        "proxy_pass",
        "raw_http_proxy",
        "authorization",
    )
)


def learn_keys(learn):
    """
    Has `learn` called with each key, password and session token that the loaded core or its client takes from
    now on: as the settings of a connection, as a user's, or from a `shotgun.yml`. Nothing that it raises goes
    further.
    """
    if learn is None:
        return

    def told(value):
        try:
            if isinstance(value, str) and value:
                learn(value)
        except Exception:
            pass

    from tank_vendor.shotgun_api3 import shotgun

    _learn_settings(shotgun._Config, told)
    for module, names in (
        ("tank.authentication.user_impl", ("ScriptUser", "SessionUser")),
        ("tank.authentication.user", ("ScriptUser",)),
    ):
        for name in names:
            _learn_made(getattr(_module(module), name, None), told)
    _learn_returned(_module("tank.util.shotgun.connection"), "get_associated_sg_config_data", told)


def _module(name):
    return sys.modules.get(name) or _ask(lambda: importlib.import_module(name))


def _learn_settings(kind, told):
    original = kind.__setattr__
    original = getattr(original, "sgtk_host_original", original)

    def set_attribute(self, name, value):
        if name in _SECRET_SETTINGS:
            told(value)
        original(self, name, value)

    set_attribute.sgtk_host_original = original
    kind.__setattr__ = set_attribute


def _learn_made(kind, told):
    """Keys of users, also of those who never connect."""
    if not isinstance(kind, type):
        return
    original = kind.__init__
    original = getattr(original, "sgtk_host_original", original)

    @functools.wraps(original)
    def made(self, *args, **kwargs):
        original(self, *args, **kwargs)
        for name in ("_api_key", "_key", "_session_token", "_http_proxy", "http_proxy"):
            told(getattr(self, "__dict__", {}).get(name))

    made.sgtk_host_original = original
    kind.__init__ = made


def _learn_returned(module, name, told):
    """Keys in what a function of the module reads from a file."""
    original = getattr(module, name, None)
    if original is None:
        return
    original = getattr(original, "sgtk_host_original", original)

    @functools.wraps(original)
    def read(*args, **kwargs):
        data = original(*args, **kwargs)
        if isinstance(data, dict):
            for key in ("api_key", "http_proxy", "app_store_http_proxy"):
                told(data.get(key))
        return data

    read.sgtk_host_original = original
    setattr(module, name, read)


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


def destroy():
    """Destroys the loaded core's current engine, where there still is one, and closes what it leaves open."""
    import tank

    try:
        # Its own code may have destroyed the engine already, or restarted it as another for a new context.
        engine = tank.platform.current_engine()
        if engine is not None:
            engine.destroy()
    finally:
        tank.LogManager().uninitialize_base_file_handler()
        del _watched[:]
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, OwnFiles)]
