"""Code of a project that works on the import system by hand, as bundles and studio tools do.

Hazards: everything here counts on `sys.path`, `sys.modules` and the loggers being the project's own at that
moment, on whatever thread it runs. Each function gives what it found in the end; what it changed is undone by
it.
"""

import importlib
import importlib.util
import logging
import os
import sys
import types
import uuid
from sys import modules as MODULES, path as PATH

import sgtk

AT_IMPORT = sgtk.CORE_VERSION


def load(folder):
    """Loads the package in `folder` as bundles are loaded, under a name of its own, and returns that name."""
    name = "tkimp%s" % uuid.uuid4().hex
    sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, os.path.join(folder, "__init__.py"))
    sys.modules[name] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    first = sys.path.pop(0)
    assert first == folder, first
    return name


def unload(name):
    """Forgets a package and what is in it."""
    mine = [known for known in sys.modules if known == name or known.startswith(name + ".")]
    for known in mine:
        del sys.modules[known]
    return len(mine)


def bundle(folder):
    """Which core a bundle's payload has, and the two ways to its module."""
    name = load(folder)
    try:
        payload = sys.modules[name + ".payload"]
        assert payload.helper is importlib.import_module(name + ".payload.helper")
        return payload.versions()
    finally:
        count = unload(name)
        assert count == 3, count


def file(path):
    """A module from a file, with the name in `sys.modules` only while it is loaded."""
    spec = importlib.util.spec_from_file_location("by_hand_file", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["by_hand_file"] = module
    try:
        spec.loader.exec_module(module)
    finally:
        assert sys.modules.pop("by_hand_file") is module
    return module.versions()


def unnamed_file(path):
    """A module from a file that is never in `sys.modules`."""
    spec = importlib.util.spec_from_file_location("by_hand_unnamed", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.versions()


def load_source(path):
    """`imp.load_source`, where there is one."""
    try:
        import imp
    except ImportError:
        return {}
    module = imp.load_source("by_hand_source", path)
    assert sys.modules["by_hand_source"] is module
    del sys.modules["by_hand_source"]
    return module.versions()


def executed(path):
    """A module that is made and executed."""
    module = types.ModuleType("by_hand_executed")
    module.__file__ = path
    with open(path) as source:
        exec(compile(source.read(), path, "exec"), module.__dict__)
    return module.versions()


def from_path(folder, name):
    """An import from a folder that is on the path for as long as it takes."""
    sys.path.append(folder)
    try:
        module = importlib.import_module(name)
        assert importlib.util.find_spec(name).origin == module.__file__
        return module.versions()
    finally:
        sys.path.remove(folder)
        sys.modules.pop(name, None)
        sys.path_importer_cache.pop(folder, None)


def run_module(folder, name):
    """`runpy.run_module`, which has the name in `sys.modules` meanwhile."""
    import runpy

    sys.path[:0] = [folder]
    try:
        return runpy.run_module(name)["versions"]()
    finally:
        sys.path.remove(folder)


def site_folder(folder, name):
    """`site.addsitedir`: the standard library changes the path for its caller."""
    import site

    before = list(sys.path)
    site.addsitedir(folder)
    try:
        assert sys.path[-1] == folder, sys.path
        return importlib.import_module(name).versions()
    finally:
        sys.path = before
        sys.modules.pop(name, None)


def reloaded(folder):
    """`importlib.reload` of a module of its own."""
    name = load(folder)
    try:
        module = importlib.reload(sys.modules[name + ".payload.helper"])
        return module.versions()
    finally:
        unload(name)


def finder(path):
    """A finder of its own."""

    class Finder(object):
        @staticmethod
        def find_spec(name, folders=None, target=None):
            if name == "by_hand_found":
                return importlib.util.spec_from_file_location(name, path)
            return None

    sys.meta_path.insert(0, Finder)
    try:
        import by_hand_found

        return by_hand_found.versions()
    finally:
        sys.meta_path.remove(Finder)
        sys.modules.pop("by_hand_found", None)


def logger(name):
    """A logger that is made now, and what it hangs on."""
    logger = logging.getLogger(name)
    assert logging.getLogger(name) is logger
    assert logger.name in logging.Logger.manager.loggerDict
    parent = logger.parent
    while parent.parent is not None and parent.name != "sgtk":
        parent = parent.parent
    return parent


def kept(folder, name):
    """What was kept when this module was loaded is its own project's at any time."""
    assert PATH == sys.path and PATH is not MODULES
    PATH.insert(0, folder)
    try:
        module = importlib.import_module(name)
        assert MODULES[name] is module
        return module.versions()
    finally:
        assert PATH.pop(0) == folder
        MODULES.pop(name, None)


def environment(name):
    """Variables of its own."""
    before = dict(os.environ)
    assert name not in os.environ
    os.environ[name] = "by hand"
    assert os.environ[name] == os.getenv(name) == os.environ.get(name) == "by hand"
    assert dict(os.environ, **{name: ""}) == dict(before, **{name: ""}) and len(os.environ) == len(before) + 1
    assert os.environ.pop(name) == "by hand" and os.environ.setdefault(name, "again") == "again"
    del os.environ[name]
    assert os.environ.copy() == before and "PATH" in os.environ
    path = os.environ.pop("PATH")
    assert "PATH" not in os.environ
    os.environ["PATH"] = path
    return os.environ.get("TANK_CURRENT_PC")


def other_modules():
    """Modules that are made of the class of `sys`, as some code spells it."""
    module = type(sys)("by_hand_other")
    for name in ("path", "modules", "meta_path"):
        assert not hasattr(module, name)
        setattr(module, name, name)
        assert getattr(module, name) == vars(module)[name] == name
        delattr(module, name)
        assert not hasattr(module, name)
    module.__getattr__ = lambda name: name.upper()
    return module.path == "PATH" and sys.path is not module.path


def get_logger(name):
    """A logger, made now if there is none."""
    return logging.getLogger(name)


def log(name, count):
    """Logs through loggers that are made by this call."""
    for number in range(int(count)):
        logging.getLogger("%s.%d" % (name, number)).warning("of %s", AT_IMPORT)


def lists():
    """All that can be done to a list, on `sys.path`: as on a list of the same entries."""
    before = list(sys.path)
    plain = list(before)
    for change in (
        lambda path: path.append("/by_hand/a"),
        lambda path: path.extend(iter(["/by_hand/b", "/by_hand/c"])),
        lambda path: path.insert(0, "/by_hand/d"),
        lambda path: path.__iadd__(("/by_hand/e",)),
        lambda path: path.__setitem__(slice(0, 0), ["/by_hand/f", "/by_hand/g"]),
        lambda path: path.__setitem__(0, "/by_hand/h"),
        lambda path: path.remove("/by_hand/d"),
        lambda path: path.pop(),
        lambda path: path.reverse(),
        lambda path: path.sort(key=lambda entry: entry[::-1]),
        lambda path: path.__delitem__(slice(0, 2)),
        lambda path: path.__imul__(2),
        lambda path: path.clear(),
        lambda path: path.extend(before),
    ):
        change(plain)
        change(sys.path)
        assert list(sys.path) == plain == sys.path, (sys.path, plain)
    path = sys.path
    assert isinstance(path, list) and len(path) == len(before) and path[0] == before[0]
    assert path[-1] in path and path.index(path[0]) == 0 and path.count(path[0]) >= 1
    assert path + ["/x"] == before + ["/x"] and ["/x"] + path == ["/x"] + before
    assert path.copy() == before and path[:] == before and path * 2 == before * 2
    assert list(reversed(path)) == before[::-1] and sorted(path) == sorted(before)
    assert repr(path) == repr(before) and os.pathsep.join(path) == os.pathsep.join(before)
    assert [*path] == before and not path != before and path <= before
    assert type(path[:]) is list and type(path.copy()) is list
    return sys.path is path


def dictionaries():
    """All that can be done to a dictionary, on `sys.modules`."""
    module = types.ModuleType("by_hand_module")
    modules = sys.modules
    modules["by_hand_module"] = module
    assert modules["by_hand_module"] is module and modules.get("by_hand_module") is module
    assert "by_hand_module" in modules and modules.get("by_hand_nothing", 5) == 5
    assert modules.setdefault("by_hand_module", None) is module
    assert list(modules)[-1] == "by_hand_module" == list(modules.keys())[-1]
    assert dict(modules)["by_hand_module"] is module and {**modules}["by_hand_module"] is module
    assert ("by_hand_module", module) in modules.items() and module in modules.values()
    assert len(modules) == len(modules.copy()) and type(modules.copy()) is dict
    assert modules.pop("by_hand_module") is module and modules.pop("by_hand_module", 7) == 7
    modules.update(by_hand_module=module)
    modules.update({"by_hand_other": module})
    del modules["by_hand_other"]
    for wrong in (lambda: modules["by_hand_other"], lambda: modules.pop("by_hand_other")):
        try:
            wrong()
        except KeyError:
            continue
        raise AssertionError("no KeyError")
    del modules["by_hand_module"]
    # What is the daemon's stays, for everybody.
    assert modules.pop("json", None) is not None
    assert "sgtk" in modules and modules["sgtk"] is sgtk
    return isinstance(modules, dict)


class KeepingHandler(logging.Handler):
    """Keeps the texts of the records."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def emit(self, record):
        KEPT.append("%s: %s" % (self.name, record.getMessage()))


KEPT = []


def add_root_handler(name):
    """Gives the root logger a handler, once for each name."""
    if not any(getattr(handler, "name", None) == name for handler in logging.root.handlers):
        logging.getLogger().addHandler(KeepingHandler(name))


def kept_of(logger, text):
    """What the handlers of the root logger have got of a record by now."""
    del KEPT[:]
    logging.getLogger(logger).error(text)
    return list(KEPT)
