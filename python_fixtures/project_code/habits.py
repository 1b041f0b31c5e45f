"""Habits of project code that look at the import system, or change it, in passing.

Hazards: each function gives the same in its project's turn as out of it, where another project, or nobody, is
in place. What it changes it undoes.
"""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import dataclasses
import enum
import functools
import importlib
import importlib.util
import inspect
import logging
import logging.config
import operator
import os
import pkgutil
import runpy
import sched
import subprocess
import sys
import threading
import types
import typing
import unittest
import unittest.mock
import warnings
import weakref

import sgtk

VERSION = sgtk.CORE_VERSION


class Own:
    def version(self):
        import sgtk

        return sgtk.CORE_VERSION


def version():
    import sgtk

    return sgtk.CORE_VERSION


def from_import():
    from tank import errors

    return errors.TankError is sgtk.TankError


def star():
    names = {}
    exec("from tank.errors import *", names)
    return names["TankError"] is sgtk.TankError


def compiled_with_fresh_globals():
    names = {"__name__": "__main__"}
    exec(compile("import sgtk\nfound = sgtk.CORE_VERSION", "<string>", "exec"), names)
    return names["found"]


def evaluated():
    return eval("__import__('sgtk').CORE_VERSION", {})


def evaluated_without_builtins():
    return eval("load('sgtk').CORE_VERSION", {"__builtins__": {}, "load": __import__})


def in_a_class_body():
    class Holder:
        import sgtk

        found = sgtk.CORE_VERSION

    return Holder.found


def by_import_module():
    return importlib.import_module(".errors", "tank").TankError is sgtk.TankError


def found_spec():
    return importlib.util.find_spec("tank.errors").origin


def missing_spec():
    return importlib.util.find_spec("tank_of_nobody") is None


def source_of_a_class():
    found = inspect.getmodule(sgtk.TankError)
    return inspect.getsourcefile(sgtk.TankError), found is sys.modules["tank.errors"]


def module_of_a_frame():
    return inspect.getmodule(inspect.currentframe()).__name__


def modules_by_walk():
    return sorted(one.name for one in pkgutil.iter_modules(sys.modules["tank"].__path__))


def data_of_a_package():
    return pkgutil.get_data("tank", "__init__.py") is not None


def names_of_modules():
    return sorted(name for name in sys.modules if name.split(".")[0] in ("tank", "sgtk"))


def modules_by_methods():
    kept = sys.modules.copy()
    return (
        kept["sgtk"].CORE_VERSION,
        "sgtk" in sys.modules,
        sys.modules.get("sgtk") is kept["sgtk"],
        dict(sys.modules)["sgtk"] is kept["sgtk"],
        [value for name, value in sys.modules.items() if name == "sgtk"][0] is kept["sgtk"],
        len(sys.modules) == len(list(sys.modules.keys())),
        {**sys.modules}["sgtk"] is kept["sgtk"],
    )


def set_by_default():
    module = types.ModuleType("habits_default")
    try:
        first = sys.modules.setdefault("habits_default", module)
        return first is module, importlib.import_module("habits_default") is module
    finally:
        del sys.modules["habits_default"]


def updated():
    module = types.ModuleType("habits_updated")
    sys.modules.update(habits_updated=module)
    try:
        import habits_updated

        return habits_updated is module
    finally:
        sys.modules.pop("habits_updated")


def patched_modules():
    with unittest.mock.patch.dict(sys.modules, {"sgtk": types.ModuleType("sgtk")}):
        import sgtk as within

        patched = not hasattr(within, "CORE_VERSION")
    return patched, version()


def hidden_module():
    with unittest.mock.patch.dict(sys.modules, {"tank.errors": None}):
        try:
            importlib.import_module("tank.errors")
        except ImportError:
            return "hidden", version()


def path_by_assignment():
    before = list(sys.path)
    sys.path = before + ["/habits/assigned"]
    try:
        return sys.path[-1]
    finally:
        sys.path = before


def path_in_place():
    before = list(sys.path)
    sys.path += ["/habits/added"]
    sys.path[:0] = ["/habits/first"]
    sys.path.extend(["/habits/last"])
    try:
        return sys.path[0], sys.path[-2:], "/habits/added" in sys.path, sys.path.index("/habits/first")
    finally:
        sys.path[:] = before


def path_without_doubles():
    before = list(sys.path)
    sys.path[:] = list(dict.fromkeys(sys.path + sys.path))
    try:
        return sys.path == before, sys.path == list(dict.fromkeys(before))
    finally:
        sys.path[:] = before


def path_of_a_child():
    code = "import sys; print(sys.path[-1])"
    variables = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path[:1]), PYTHONDONTWRITEBYTECODE="1")
    child = subprocess.run([sys.executable or "python3", "-c", code], env=variables, stdout=subprocess.PIPE)
    return child.returncode


def variables():
    os.environ["HABITS"] = "set"
    os.environ.update(HABITS_TOO="set")
    os.environ.setdefault("HABITS_THREE", "set")
    found = [os.getenv(name) for name in ("HABITS", "HABITS_TOO", "HABITS_THREE", "TANK_CURRENT_PC")]
    found.append(os.path.expandvars("$HABITS"))
    for name in ("HABITS", "HABITS_TOO", "HABITS_THREE"):
        del os.environ[name]
    return found


def variables_in_bytes():
    os.environ["HABITS"] = "set"
    try:
        return os.environb[b"HABITS"], os.environb.get(b"TANK_CURRENT_PC")
    finally:
        os.environ.pop("HABITS")


def patched_variables():
    with unittest.mock.patch.dict(os.environ, {"HABITS": "patched"}):
        within = os.environ["HABITS"], subprocess.check_output(["printenv", "HABITS"])
    return within, "HABITS" in os.environ


def cleared_variables():
    with unittest.mock.patch.dict(os.environ, {"PATH": os.environ["PATH"]}, clear=True):
        within = len(os.environ)
    return within, len(os.environ) > 1


def variable_of_a_child():
    os.environ["HABITS"] = "for a child"
    try:
        return subprocess.check_output(["printenv", "HABITS"])
    finally:
        del os.environ["HABITS"]


def output_of_a_shell():
    os.environ["HABITS"] = "for a shell"
    try:
        with os.popen("echo $HABITS") as output:
            return output.read()
    finally:
        del os.environ["HABITS"]


@dataclasses.dataclass
class Data:
    core: "sgtk.TankError"
    other: typing.Optional["Data"] = None


def hints():
    return typing.get_type_hints(Data)["core"] is sgtk.TankError


def data_class_made_late():
    @dataclasses.dataclass
    class Late:
        version: str = VERSION
        kept: typing.ClassVar[int] = 1

    return Late().version, [field.name for field in dataclasses.fields(Late)], Late.__module__


def enumeration_made_late():
    Late = enum.Enum("Late", "one two")
    return Late.__module__, [one.name for one in Late]


def tuple_made_late():
    Late = typing.NamedTuple("Late", [("version", str)])
    return Late.__module__, Late(VERSION).version


def thread():
    found = []
    one = threading.Thread(target=lambda: found.append(version()))
    one.start()
    one.join()
    return found


class Running(threading.Thread):
    def run(self):
        self.found = Own().version()


def thread_of_a_class():
    one = Running()
    one.start()
    one.join()
    return one.found


def executor():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda _: version(), range(4)))


def executor_with_a_bound_method():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(functools.partial(Own().version)).result()


def executor_with_a_caller():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(operator.methodcaller("version"), Own()).result()


def thread_pool():
    import multiprocessing.pool

    with multiprocessing.pool.ThreadPool(2) as pool:
        return pool.map(lambda _: version(), range(3))


def timer():
    found = []
    one = threading.Timer(0.001, lambda: found.append(version()))
    one.start()
    one.join()
    return found


def event_loop():
    async def wait():
        await asyncio.sleep(0)
        return version(), await asyncio.get_running_loop().run_in_executor(None, version)

    return asyncio.run(wait())


def scheduler():
    found = []
    one = sched.scheduler()
    one.enter(0, 1, lambda: found.append(version()))
    one.run()
    return found


def generator():
    def versions():
        yield version()
        import tank

        yield tank.__version__

    return list(versions())


def context():
    return contextvars.copy_context().run(version)


def sorted_by_a_key():
    return sorted(["b", "a"], key=lambda one: (version(), one))


def finalizer():
    found = []
    holder = Own()
    weakref.finalize(holder, lambda: found.append(version()))
    del holder
    return found


def deleted():
    found = []

    class Dying:
        def __del__(self):
            found.append(version())

    Dying()
    return found


def logger():
    records = []

    class Keeping(logging.Handler):
        def emit(self, record):
            records.append((record.name, record.getMessage(), version()))

    one, handler = logging.getLogger("sgtk.habits.late"), Keeping()
    one.addHandler(handler)
    one.setLevel(logging.INFO)
    try:
        one.info("a record")
        logging.getLogger("sgtk.habits.late.child").warning("another")
        return records, one is logging.getLogger("sgtk.habits.late"), one.parent.name
    finally:
        one.removeHandler(handler)


def logger_adapter():
    one = logging.LoggerAdapter(logging.getLogger("sgtk.habits.adapter"), {"version": VERSION})
    return one.process("text", {})[1]["extra"]["version"], one.logger.manager is logging.Logger.manager


def warned():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn("of a project", DeprecationWarning)
    return [str(one.message) for one in caught]


def exported_by_a_lazy_attribute():
    def find(name):
        if name != "errors":
            raise AttributeError(name)
        return importlib.import_module("tank." + name)

    module = types.ModuleType("habits_lazy")
    module.__getattr__ = find
    sys.modules["habits_lazy"] = module
    try:
        from habits_lazy import errors

        return errors.TankError is sgtk.TankError
    finally:
        del sys.modules["habits_lazy"]


def test_case():
    class Case(unittest.TestCase):
        def test(self):
            self.assertEqual(version(), VERSION)

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    return len(result.failures), len(result.errors), result.testsRun


def loaded_by_name():
    return len(unittest.defaultTestLoader.loadTestsFromName("tank.errors")._tests)


def run_path():
    with written("import sgtk\nfound = sgtk.CORE_VERSION\n") as path:
        return runpy.run_path(path)["found"]


def run_as_main():
    text = "import sgtk, sys\nfound = sgtk.CORE_VERSION, sys.modules['__main__'].__file__ == __file__\n"
    with written(text) as path:
        return runpy.run_path(path, run_name="__main__")["found"]


def current_folder_on_the_path():
    with written("import sgtk\nfound = sgtk.CORE_VERSION\n") as path:
        folder, name = os.path.split(path)
        sys.path.insert(0, folder)
        try:
            return importlib.import_module(name[:-3]).found
        finally:
            sys.path.remove(folder)
            sys.modules.pop(name[:-3], None)
            importlib.invalidate_caches()


@contextlib.contextmanager
def written(text):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "habits_file.py")
        with open(path, "w") as file:
            file.write(text)
        yield path


def meta_path():
    class Finder:
        @staticmethod
        def find_spec(name, folders=None, target=None):
            if name == "habits_found":
                return importlib.util.spec_from_loader(name, Loader())

    class Loader:
        @staticmethod
        def create_module(spec):
            return None

        @staticmethod
        def exec_module(module):
            module.found = version()

    sys.meta_path.insert(0, Finder)
    try:
        import habits_found

        return habits_found.found
    finally:
        sys.meta_path.remove(Finder)
        sys.modules.pop("habits_found", None)


def import_replaced():
    import builtins

    plain, seen = builtins.__import__, []

    def noting(name, *arguments, **named):
        seen.append(name)
        return plain(name, *arguments, **named)

    with unittest.mock.patch("builtins.__import__", noting):
        import tank

    return tank.__version__, "tank" in seen


def take_core():
    for name in [name for name in sys.modules if name.split(".")[0] in ("tank", "sgtk")]:
        del sys.modules[name]


def replace_core():
    sys.modules["sgtk"] = sys.modules["tank"] = types.ModuleType("tank")


# Those that do not undo what they do.
TAKING = ("take_core", "replace_core")
