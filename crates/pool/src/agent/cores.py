"""Cores that code of a call has brought into the worker: what is theirs, and how it is ended."""

import gc
import logging
import os
import sys

#: Top-level names of a core.
TOOLKIT = ("tank", "sgtk", "tank_vendor")

#: What Toolkit calls modules of a core that another one has taken the place of.
SET_ASIDE = ("core_swap_", "_tank_vendor_swap_")

#: How long to wait for threads of a core that was left behind, in seconds.
THREADS = 2.0


def top(name):
    """The first part of a dotted name."""
    return name.partition(".")[0] if isinstance(name, str) else ""


def file_of(module):
    """A module's file, where it names one."""
    file = getattr(module, "__dict__", {}).get("__file__")
    return file if isinstance(file, str) else None


def engine_of(tank):
    """The current engine of a core, given its module `tank`."""
    try:
        return tank.platform.current_engine()
    except Exception:
        return None  # Half loaded.


def among(modules, own):
    """Other modules called `tank` among these, each with its core's folder."""
    found = {}
    for module in modules:
        names = getattr(module, "__dict__", {})
        file = file_of(module)
        if module is not own and names.get("__name__") in ("tank", "sgtk") and file and "__path__" in names:
            found[module] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(file))))
    return found


def told(cores):
    """What `among` has found, as a sentence."""
    return "another core was left in place, from %s" % " and ".join(sorted(set(cores.values())))


def is_of(value, modules):
    """Whether an object is of a class, or is a function or a class, of one of these modules."""
    for one in (value, type(value)):
        name = getattr(one, "__module__", None)
        if top(name) in TOOLKIT and any(
            module.__dict__.get("__name__") == name for module in modules.values()
        ):
            return True
    return False


def is_of_a_core(one):
    """Whether an object's class is a core's."""
    return top(type(one).__module__) in TOOLKIT


def is_needed(name, value):
    """Whether a core's code needs what is under a name in a module, and does not take it away itself."""
    if name.startswith("__") and name.endswith("__"):
        return name != "__warningregistry__"
    return isinstance(value, (type, type(sys), type(top)))


def is_toolkits(one):
    """Whether an object's class is a core's, or the steps' of a bootstrap."""
    name = type(one).__module__
    return top(name) in TOOLKIT or name.startswith(SET_ASIDE) or name == "sgtk_host"


def has_core(entry, cores):
    """Whether an entry of `sys.path` leads to one of these cores, or to any."""
    if not isinstance(entry, str):
        return False
    if any(entry == core or entry.startswith(core + os.sep) for core in cores.values()):
        return True
    return any(os.path.isfile(os.path.join(entry, name, "__init__.py")) for name in ("tank", "sgtk"))


def destroy(tank, found):
    """Destroys a core's engine. Returns whether it is gone."""
    for _ in range(2):
        engine = engine_of(tank)
        if engine is None:
            return True
        try:
            engine.destroy()
        except Exception as error:
            found.append("destroying it raised %s" % type(error).__name__)
    if engine_of(tank) is not None:
        # Its own code does not end it: at least it is no longer in the way.
        quietly(lambda: tank.platform.engine.set_current_engine(None))
    return engine_of(tank) is None


def take_out(modules, names):
    """Takes out of the classes of these modules what code with these globals has put there: a core that finds
    its libraries loaded adds to them, and wraps their functions, which keeps all of it alive for good.
    """
    seen = set()
    for module in modules:
        for kind in list(getattr(module, "__dict__", {}).values()):
            if isinstance(kind, type) and id(kind) not in seen:
                seen.add(id(kind))
                for attribute, value in list(vars(kind).items()):
                    _take_out_of(kind, attribute, value, names)


def _take_out_of(kind, attribute, value, names):
    function = getattr(value, "__func__", value)
    if _is_with(function, names):
        original = _wrapped(function, names)
        if original is not None:
            quietly(lambda: setattr(kind, attribute, original if value is function else type(value)(original)))
    elif type(value) is dict:
        for key in [key for key, one in value.items() if _is_with(one, names)]:
            del value[key]


def _is_with(function, names):
    return id(getattr(function, "__globals__", None)) in names


def _wrapped(function, names):
    """The function that others, with these globals, have wrapped; None where it is not found."""
    for _ in range(1000):
        inner = []
        for cell in getattr(function, "__closure__", None) or ():
            try:
                inner.append(cell.cell_contents)
            except ValueError:
                pass  # Empty yet.
        inner = [one for one in inner if isinstance(one, type(top))]
        if len(inner) != 1:
            return None
        function = inner[0]
        if not _is_with(function, names):
            return function
    return None


def forget_loggers(known):
    """Lets go of loggers that are named by a hook or a bundle, of which each load has another name."""
    loggers = logging.Logger.manager.loggerDict
    for name in [name for name in loggers if name not in known and any(map(_is_made_up, name.split(".")))]:
        del loggers[name]


def _is_made_up(name):
    return name.startswith("tkimp") or len(name) == 32 and not set(name) - set("0123456789abcdef")


def end_log_file(tank):
    """Closes the log file that a core has opened."""
    manager = getattr(tank, "LogManager", None)
    if manager is not None:
        quietly(lambda: manager().uninitialize_base_file_handler())


def threads():
    """The threads that Python has started."""
    threading = sys.modules.get("threading")
    return [] if threading is None else threading.enumerate()


def end_threads(names, found, spared=()):
    """Waits a moment for threads that run the code of modules with these dictionaries. Returns whether all
    have ended.
    """
    import time

    end = time.monotonic() + THREADS
    running = [thread for thread in threads() if thread not in spared and _runs_code_of(thread, names)]
    for thread in running:
        thread.join(max(0.0, end - time.monotonic()))
    names = [thread.name for thread in running if thread.is_alive()]
    if names:
        found.append("thread %s of another engine is still running" % ", ".join(names))
    return not names


def _runs_code_of(thread, names):
    if thread is sys.modules["threading"].main_thread():
        return False
    for function in (getattr(thread, "_target", None), type(thread).run):
        function = getattr(function, "__func__", function)
        if id(getattr(function, "__globals__", None)) in names:
            return True
    return any(id(one) in names for one in _globals_running_on(thread.ident))


def _globals_running_on(ident):
    """The globals of the code that runs on another thread, from the innermost outwards.

    A frame is looked at only as long as its thread does not go on: CPython 3.11 has been seen to crash
    otherwise. So all of it is C code, in which no thread is switched: the frames, by `getattr`, and their
    globals.
    """
    import itertools
    import operator

    innermost = map(operator.methodcaller("__call__"), (sys._current_frames,))
    innermost = map(operator.methodcaller("get", ident), innermost)
    frames = itertools.accumulate(itertools.chain(innermost, itertools.repeat("f_back")), getattr)
    found = []
    # Garbage that is collected meanwhile may run code of any kind.
    collects = gc.isenabled()
    gc.disable()
    try:
        found.extend(map(operator.attrgetter("f_globals"), frames))
    except AttributeError:
        # The outermost has None behind it.
        pass
    finally:
        if collects:
            gc.enable()
    return found


def forget(roots):
    """Lets go of what Python's caches have of files in these folders, so that their memory comes back."""
    part("bootstrap").forget_swapped()
    caches = [sys.path_importer_cache]
    for name, attribute in (("zipimport", "_zip_directory_cache"), ("linecache", "cache")):
        caches.append(getattr(sys.modules.get(name), attribute, {}))
    for cache in caches:
        for path in [path for path in cache if isinstance(path, str) and path.startswith(roots)]:
            if roots and path not in sys.path:
                cache.pop(path, None)
    for clear in getattr(sys.modules.get("typing"), "_cleanups", ()):
        quietly(clear)
    gc.collect()


def quietly(function):
    """Calls what may fail without anything being lost."""
    try:
        function()
    except Exception:
        pass
