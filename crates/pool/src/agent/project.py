"""Enters a project: its core, its plugins, `TANK_CURRENT_PC`. Provides calls with its objects."""

import gc
import os
import sys

CURRENT_PC = "TANK_CURRENT_PC"

#: The current step of entering, for an error.
step = "start"

#: The folder of the project's pipeline configuration.
_configuration = None
_engine = None
_tank = None

#: What calls leave in order.
_own = None

#: The core whose files are kept in memory.
_kept = None


class WrongCore(Exception):
    """What was imported is not from the project's core."""


def enter(request):
    """Enters the project. Returns a report about it."""
    global step, _configuration, _engine, _own
    _configuration = request.get("current_pc") or request.get("configuration")
    step = "logging"
    part("records").start(request.get("log_level"))
    part("errors").tell_secrets()
    part("calls").give_children(request.get("children"))
    step = "compiled code"
    part("code").start()
    step = "path"
    add_paths(request)
    collect_garbage()
    core, options = request.get("core_python"), request.pop("bootstrap", None)
    report = load_core(core) if core else {}
    if core:
        keep_core(None if options else core)
    set_current_pc(request.get("current_pc"))
    if options:
        _engine, report = bootstrap(options, request)
    elif core:
        prepare_core(request)
    # Toolkit may have replaced handlers.
    part("records").add_handlers()
    if core:
        _own = part("own_state").OwnState(report["core"], has_engine=bool(options))
    step = "entered"
    return report


def own_state():
    """The project's own import state; None where no core was entered."""
    return _own


def prepare(request):
    """Imports in a template what its workers have in common. Returns a report about the core."""
    global step
    step = "logging"
    part("records").start(request.get("log_level"))
    step = "compiled code"
    part("code").start()
    step = "path"
    add_paths(request)
    collect_garbage()
    core = request["core_python"]
    report = load_core(core)
    keep_core(core)
    return report


def collect_garbage():
    """Ends the time without a collector, in which the worker itself was loaded."""
    part("code").age()
    gc.enable()


def load_core(core):
    """Imports `sgtk` if necessary, and verifies that it is from the folder `core`.

    Returns a report about it.
    """
    global step
    step = "import"
    part("code").import_core(core, import_core)
    step = "verify"
    verify(core)
    return about_core()


def prepare_core(request):
    """Does to a core that is called what the pool's options say: limits, keys, the user, the daemon's
    functions.
    """
    global step
    step = "prepare"
    steps, conceal = part("bootstrap"), part("errors").conceal
    steps.prepare_core(request.get("site_timeout"), conceal)
    user = request.pop("script_user", None)
    if user:
        for secret in ("api_key", "http_proxy"):
            conceal(user.get(secret))
        steps.set_script_user(sys.modules["sgtk"], user)
    call_on_import(request, "calls")


def call_on_import(request, purpose):
    """Calls the daemon's functions for a core that was just imported."""
    global step
    for target in request.get("on_import") or ():
        step, before = "on_import: " + target, step
        function, _ = part("calls").find(target)
        about = dict(about_core(), project=request.get("project"), purpose=purpose)
        function(
            sys.modules["sgtk"],
            {name: about[name] for name in ("project", "core", "core_version", "purpose")},
        )
        step = before


def keep_core(core):
    """Has the process keep what it has of the core in this `python` folder, whatever becomes of the files;
    None where it is only the one to start from.
    """
    global _kept
    if core != _kept:
        part("bootstrap").keep_own_core(core and os.path.dirname(core))
        _kept = core


_plugin_folders = ()


def forget_plugins():
    """
    Takes the modules of plugin folders out of `sys.modules`, so that edited ones are loaded when they are
    imported next. Returns their names. What holds one of them goes on with it.
    """
    folders = set(_plugin_folders) | {os.path.realpath(folder) for folder in _plugin_folders}
    folders = tuple(os.path.join(folder, "") for folder in folders)

    def place(module):
        names = getattr(module, "__dict__", {})
        file = names.get("__file__")
        if file is None:
            # A package without a file.
            file = next(iter(names.get("__path__") or ()), None)
        return file if isinstance(file, str) else ""

    names = sorted(name for name, module in list(sys.modules.items()) if place(module).startswith(folders))
    for name in names:
        del sys.modules[name]
    forget_listings()
    if "linecache" in sys.modules:
        sys.modules["linecache"].checkcache()
    return names


def forget_listings():
    """
    Has Python list folders on its path anew, which may be newer than its cache of them. Not zips, which are
    read at once then: one of the core's may be another by now.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if finder is None:
            del sys.path_importer_cache[path]
        elif hasattr(finder, "invalidate_caches") and not hasattr(finder, "archive"):
            finder.invalidate_caches()


def add_paths(request):
    """Puts the core's folder first on `sys.path` and the plugins' after it."""
    global _plugin_folders
    _plugin_folders = tuple(request.get("plugin_paths") or ())
    if request.get("site_packages", True):
        add_site_packages()
    core = request.get("core_python")
    if core and core not in sys.path:
        sys.path.insert(0, core)
    plugins = [folder for folder in request.get("plugin_paths") or () if folder not in sys.path]
    # In a template a newer core is already loaded and has put its libraries before itself.
    after = sys.path.index(core) + 1 if core else 0
    sys.path[after:after] = plugins


def add_site_packages():
    """Does what `site` does when Python starts, without the user's own packages."""
    site = sys.modules.get("site")
    if site is None:
        import site
    if not getattr(site, "_sgtk_host_done", False):
        site._sgtk_host_done = True
        site.main()


def import_core():
    """Imports `sgtk` without a configuration in the environment, which the core would take as its own."""
    if "sgtk" not in sys.modules:
        os.environ.pop(CURRENT_PC, None)
        __import__("sgtk")


def verify(core):
    """Raises WrongCore unless `sgtk` is `tank`, and from the folder `core`."""
    sgtk, tank = sys.modules.get("sgtk"), sys.modules.get("tank")
    if tank is None:
        raise WrongCore("there is no module 'tank' after the import of 'sgtk'")
    file = getattr(tank, "__file__", None) or "no file"
    if not _is_under(file, core):
        raise WrongCore("'tank' is to be from %s but is from %s" % (core, file))
    if sgtk is not tank:
        file = getattr(sgtk, "__file__", None) or "no file"
        raise WrongCore("'sgtk' is not the module 'tank' but another one, from %s" % file)


def _is_under(file, folder):
    file, folder = os.path.abspath(file), os.path.abspath(folder)
    if file.startswith(folder + os.sep):
        return True
    return os.path.realpath(file).startswith(os.path.realpath(folder) + os.sep)


def about_core():
    """The report about the core that was imported."""
    tank = sys.modules["tank"]
    version = getattr(tank, "__version__", None)
    file = os.path.abspath(tank.__file__)
    return {
        "core_version": version if isinstance(version, str) else None,
        "core": os.path.dirname(os.path.dirname(os.path.dirname(file))),
        "sgtk": file,
        "engine": None,
    }


def set_current_pc(folder):
    """Sets `TANK_CURRENT_PC` to the project's value, whatever the import has set."""
    if folder:
        os.environ[CURRENT_PC] = folder
    else:
        os.environ.pop(CURRENT_PC, None)


def provide(name):
    """The value for the parameter `name`. None if this worker has none."""
    global _tank
    sgtk = sys.modules.get("sgtk")
    if name == "sgtk":
        return sgtk
    if _engine is not None:
        # A change of context may have replaced the first engine.
        engine = sgtk.platform.current_engine() or _engine
        return {"engine": engine, "context": engine.context, "tank": engine.sgtk}[name]
    if name == "tank" and _tank is None and sgtk is not None and _configuration:
        _tank = sgtk.sgtk_from_path(_configuration)
    return _tank if name == "tank" else None


def why_missing(name):
    """Why there is no value for the parameter `name`."""
    if name in ("engine", "context"):
        return "but there is an engine only in a worker that has bootstrapped one"
    if name == "tank" and "sgtk" in sys.modules:
        return "but the project has no configuration of its own to make one from"
    return "but the worker has entered no project"


def bootstrap(options, request):
    """Bootstraps an engine from the core that is loaded. Returns it and a report about it."""
    for secret in ("script_key", "http_proxy"):
        part("errors").conceal(options.get(secret))
    steps = part("bootstrap")

    def swap_core(path):
        steps.swap_in_this_process(path)
        call_on_import(request, "bootstrap")

    call_on_import(request, "bootstrap")
    learn = part("errors").conceal
    engine = steps.bootstrap(sys.modules["sgtk"], options, _begin, _progress, swap_core, learn=learn)
    _begin("describe")
    report = steps.describe(engine)
    # The bootstrap may have replaced the core.
    report["sgtk"] = os.path.abspath(__import__("sgtk").__file__)
    set_current_pc(steps.pipeline_configuration_path(engine))
    return engine, report


def _begin(name):
    global step
    step = "bootstrap: " + name


def _progress(value, message):
    """Must not raise: on TypeError Toolkit calls it again with other arguments, on anything else it gives up.
    """
    try:
        part("records").logging.getLogger("sgtk_host.bootstrap").debug("%d %%: %s", 100 * value, message)
    except Exception:
        pass


def destroy_engine():
    """Destroys the engine, if there is one."""
    global _engine
    engine, _engine = _engine, None
    if engine is not None:
        part("bootstrap").destroy()
