"""The steps of a bootstrap, for both ways to an engine: in the daemon's interpreter and in a worker process.

Standard library only, Python 3.7 and later. Nothing of Toolkit is imported before a function here is called.
"""

import functools
import os
import sys

# Modules of swapped cores whose code may still be running.
_swapped = []


def bootstrap(sgtk, options, enter, progress, swap_core=None, make_user=None):
    """
    Bootstraps an engine from a core that belongs to no project, and returns it.

    :param sgtk: the starting core's module.
    :param options: what `Bootstrap::to_json` gives: Toolkit's names, `None` for what was not set.
    :param enter: called with the name of each step when it begins.
    :param progress: Toolkit's progress callback, `(value, message)`.
    :param swap_core: puts the core with this `python` folder in place of the starting one and imports `tank` from it;
        without it, `swap_in_this_process`.
    :param make_user: given `sgtk`, makes the user; without it, the options' script user, else the starting core's own.
    """
    site_timeout = options.get("site_timeout")
    enter("authenticate")
    limit_site_calls(site_timeout)
    user = make_user(sgtk) if make_user else _user(sgtk, options)
    sgtk.set_authenticated_user(user)

    enter("set up")
    _replace_swap(swap_core or swap_in_this_process, enter, site_timeout)
    manager = sgtk.bootstrap.ToolkitManager(sg_user=user)
    manager.plugin_id = options["plugin_id"]
    for name in ("base_configuration", "pipeline_configuration", "do_shotgun_config_lookup"):
        if options.get(name) is not None:
            setattr(manager, name, options[name])
    if options.get("bundle_cache_fallback_paths"):
        manager.bundle_cache_fallback_paths = options["bundle_cache_fallback_paths"]
    manager.progress_callback = progress

    enter("resolve configuration")
    return manager.bootstrap_engine(options["engine"], entity=options.get("entity"))


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


def _replace_swap(swap_core, enter, site_timeout):
    """Toolkit's own swap leaves the first core's libraries and finders to the second. This one's replaces it."""
    from tank.bootstrap.import_handler import CoreImportHandler

    def swap(core_path):
        import tank

        enter("swap core")
        log_file = tank.LogManager().uninitialize_base_file_handler()
        swap_core(core_path)
        # The new one from here on.
        import tank

        if log_file and hasattr(tank.LogManager, "initialize_base_file_handler_from_path"):
            tank.LogManager().initialize_base_file_handler_from_path(log_file)
        limit_site_calls(site_timeout)
        enter("start core")

    CoreImportHandler.swap_core = staticmethod(swap)


def swap_in_this_process(core_path):
    """
    Puts a core in place of the one that is loaded, with libraries of its own.

    For a process with one project. What still runs of the core before finds the new one's modules when it imports, as
    after Toolkit's own swap.
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
    for name, module in list(sys.modules.items()):
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


def limit_site_calls(seconds):
    """
    Gives connections that are made from now on with the loaded core's client a limit, in seconds, for each try of a
    call. The client's own default is none: a site that hangs is waited for for ever.
    """
    if seconds is None:
        return
    from tank_vendor.shotgun_api3 import shotgun

    original = shotgun._Config.__init__
    if hasattr(original, "sgtk_host_limit"):
        original = original.sgtk_host_limit

    @functools.wraps(original)
    def limited(self, *args, **kwargs):
        original(self, *args, **kwargs)
        if self.timeout_secs is None:
            self.timeout_secs = seconds

    limited.sgtk_host_limit = original
    shotgun._Config.__init__ = limited


def pipeline_configuration_path(engine):
    """The folder of the engine's pipeline configuration: what `TANK_CURRENT_PC` has to be for it."""
    path = engine.sgtk.pipeline_configuration.get_path()
    if not path:
        raise ValueError("the engine's pipeline configuration names no folder")
    return path


def describe(engine):
    """
    What there is to tell of an engine in plain values; `None` for what its core does not tell. The configuration's folder
    has to be told: `TANK_CURRENT_PC` is that.
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
