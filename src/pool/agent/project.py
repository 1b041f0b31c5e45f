"""Entering a project: its core, its plugins, `TANK_CURRENT_PC`; and what a call may ask for of it."""

import os
import sys

CURRENT_PC = "TANK_CURRENT_PC"

#: What was being done when entering failed.
step = "start"

_request = {}
_engine = None
_tank = None


class WrongCore(Exception):
    """What was imported is not the project's core."""


def enter(request):
    """Enters the project. Returns what there is to tell about it."""
    global step, _request, _engine
    _request = request
    step = "logging"
    part("records").start(request.get("log_level"))
    step = "path"
    add_paths(request)
    told = {}
    if request.get("bootstrap"):
        step = "bootstrap"
        _engine, told = bootstrap(request)
    elif request.get("core_python"):
        step = "import"
        import_core(request["core_python"])
        step = "verify"
        verify(request["core_python"])
        told = about_core()
    set_current_pc(request.get("current_pc"), request.get("bootstrap"))
    # Toolkit has made handlers and levels of its own by now.
    part("records").settle()
    step = "entered"
    return told


def add_paths(request):
    """Puts the core's folder first on `sys.path` and the plugins' after it."""
    if request.get("site_packages", True):
        add_site_packages()
    core = request.get("core_python")
    if core and core not in sys.path:
        sys.path.insert(0, core)
    plugins = [folder for folder in request.get("plugin_paths") or () if folder not in sys.path]
    # A newer core that is loaded already, in a template, has put its libraries before itself.
    after = sys.path.index(core) + 1 if core else 0
    sys.path[after:after] = plugins


def add_site_packages():
    """What `site` does at Python's own start, but for the user's own packages."""
    site = sys.modules.get("site")
    if site is None:
        import site
    if not getattr(site, "_sgtk_host_done", False):
        site._sgtk_host_done = True
        site.main()


def import_core(core):
    """Imports `sgtk` without a configuration in the environment, as a core takes the first one for its own."""
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
    return file.startswith(folder + os.sep) or os.path.realpath(file).startswith(os.path.realpath(folder) + os.sep)


def about_core():
    """What the daemon is told about the core that was imported."""
    tank = sys.modules["tank"]
    version = getattr(tank, "__version__", None)
    file = os.path.abspath(tank.__file__)
    return {
        "core_version": version if isinstance(version, str) else None,
        "core": os.path.dirname(os.path.dirname(os.path.dirname(file))),
        "sgtk": file,
        "engine": None,
    }


def set_current_pc(folder, bootstrapped=False):
    """Gives `TANK_CURRENT_PC` the value that it has in the project, whatever the import has made of it."""
    if folder:
        os.environ[CURRENT_PC] = folder
    elif not bootstrapped:
        os.environ.pop(CURRENT_PC, None)


def provide(name):
    """What fills in the parameter `name`; None where this worker has no such thing."""
    global _tank
    sgtk = sys.modules.get("sgtk")
    if name == "sgtk":
        return sgtk
    if name == "engine":
        return _engine
    if name == "context":
        return None if _engine is None else _engine.context
    if _tank is None:
        if _engine is not None:
            _tank = _engine.sgtk
        elif sgtk is not None:
            folder = _request.get("current_pc") or _request.get("configuration")
            if folder:
                _tank = sgtk.sgtk_from_path(folder)
    return _tank


def why_none(name):
    """Why there is nothing to fill in the parameter `name`."""
    if name in ("engine", "context"):
        return "but there is an engine only in a worker that has bootstrapped one"
    if name == "tank":
        return "but the project has no configuration of its own to make one from"
    return "but the worker has entered no project"


def bootstrap(request):
    """Bootstraps an engine. Returns it, and what there is to tell about it."""
    raise NotImplementedError


def leave():
    """Destroys the engine, if there is one."""
    global _engine
    engine, _engine = _engine, None
    if engine is not None:
        engine.destroy()
