"""The steps of a bootstrap, for both ways to an engine: in the daemon's interpreter and in a worker process.

Standard library only, Python 3.7 and later. Nothing of Toolkit is imported before a function here is called.
"""

import importlib
import os
import sys
import time


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
    variables = options.get("variables") or {}
    os.environ.update(variables)
    if "TZ" in variables and hasattr(time, "tzset"):
        time.tzset()


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
