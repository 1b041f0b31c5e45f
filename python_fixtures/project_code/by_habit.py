"""Code of a project that works on the import system as tests, zips and old libraries do.

Each function is called with the folder of a package that imports `sgtk`, and gives which core that has got. What
it changed is undone by it.
"""

import contextlib
import functools
import importlib
import importlib.util
import os
import pkgutil
import sys
import tempfile
import threading
import types
import unittest.mock
import weakref
import zipfile
import zipimport

import sgtk

AT_IMPORT = sgtk.CORE_VERSION

SOURCE = """
import sgtk
def versions():
    import tank.util
    return {"at import": sgtk.CORE_VERSION, "late": tank.util.__version__ if hasattr(tank.util, "__version__")
            else __import__("tank").CORE_VERSION}
"""


@contextlib.contextmanager
def written(name, source=SOURCE):
    """A folder with a module of that name."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, name + ".py"), "w") as file:
            file.write(source)
        try:
            yield folder
        finally:
            sys.path_importer_cache.pop(folder, None)


def patched_dictionary():
    """`unittest.mock.patch.dict`, which copies `sys.modules`, clears it and fills it again."""
    with written("by_habit_patched") as folder:
        with unittest.mock.patch.dict("sys.modules", {"by_habit_fake": types.ModuleType("by_habit_fake")}):
            with unittest.mock.patch.object(sys, "path", [folder] + sys.path):
                assert importlib.import_module("by_habit_fake").__name__ == "by_habit_fake"
                versions = importlib.import_module("by_habit_patched").versions()
        assert "by_habit_fake" not in sys.modules and "by_habit_patched" not in sys.modules
        assert sys.modules["sgtk"] is sgtk
    return versions


def patched_variable():
    """`unittest.mock.patch.dict` of the environment."""
    before = dict(os.environ)
    with unittest.mock.patch.dict(os.environ, {"BY_HABIT": "set"}):
        assert os.environ["BY_HABIT"] == "set" and os.getenv("BY_HABIT") == "set"
        with unittest.mock.patch.dict(os.environ, {"ONLY": "one"}, clear=True):
            assert dict(os.environ) == {"ONLY": "one"}, sorted(os.environ)
    assert dict(os.environ) == before
    return os.environ.get("TANK_CURRENT_PC", "none")


def from_zip():
    """A module from a zip that is on the path for a while."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "habits.zip")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("by_habit_zipped.py", SOURCE)
        sys.path += [path]
        try:
            return importlib.import_module("by_habit_zipped").versions()
        finally:
            sys.path.remove(path)
            sys.modules.pop("by_habit_zipped", None)
            sys.path_importer_cache.pop(path, None)


def by_importer():
    """A module from a zip by its importer."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "habits.zip")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("by_habit_importer.py", SOURCE)
        importer = zipimport.zipimporter(path)
        if sys.version_info < (3, 10):
            module = importer.load_module("by_habit_importer")
            sys.modules.pop("by_habit_importer", None)
        else:
            spec = importer.find_spec("by_habit_importer")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        sys.path_importer_cache.pop(path, None)
        return module.versions()


def walked():
    """A package whose modules are found and loaded by `pkgutil`."""
    with tempfile.TemporaryDirectory() as folder:
        package = os.path.join(folder, "by_habit_walked")
        os.mkdir(package)
        for name, source in (("__init__", ""), ("one", SOURCE), ("two", SOURCE)):
            with open(os.path.join(package, name + ".py"), "w") as file:
                file.write(source)
        sys.path.insert(0, folder)
        try:
            found = [name for _, name, _ in pkgutil.walk_packages([folder])]
            assert found == ["by_habit_walked", "by_habit_walked.one", "by_habit_walked.two"], found
            one, two = (pkgutil.resolve_name(name) for name in found[1:])
            assert sys.modules["by_habit_walked"].one is one
            return {**one.versions(), "two": two.versions()["late"]}
        finally:
            sys.path.remove(folder)
            for name in [name for name in sys.modules if name.startswith("by_habit_walked")]:
                del sys.modules[name]
            for path in (folder, package):
                sys.path_importer_cache.pop(path, None)


def lazy():
    """A module whose code runs when it is used first."""
    with written("by_habit_lazy") as folder:
        path = os.path.join(folder, "by_habit_lazy.py")
        spec = importlib.util.spec_from_file_location("by_habit_lazy", path)
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules["by_habit_lazy"] = module
        try:
            spec.loader.exec_module(module)
            return module.versions()
        finally:
            sys.modules.pop("by_habit_lazy", None)


def replaced_path():
    """`sys.path` replaced as a whole, by what is made of it."""
    with written("by_habit_replaced") as folder:
        before = sys.path
        sys.path = [folder] + [entry for entry in sys.path if entry != folder]
        try:
            return importlib.import_module("by_habit_replaced").versions()
        finally:
            sys.path = before
            sys.modules.pop("by_habit_replaced", None)


def in_pieces():
    """`sys.path` worked on by slices, `reverse` and `sort`."""
    with written("by_habit_pieces") as folder:
        before = sys.path[:]
        sys.path[0:0] = [folder]
        sys.path.reverse()
        sys.path.reverse()
        assert sys.path[0] == folder
        try:
            return importlib.import_module("by_habit_pieces").versions()
        finally:
            del sys.path[0]
            assert sys.path == before
            sys.modules.pop("by_habit_pieces", None)


def forgotten():
    """An own module that is taken out of `sys.modules` and imported again."""
    with written("by_habit_forgotten") as folder:
        sys.path.insert(0, folder)
        try:
            one = importlib.import_module("by_habit_forgotten")
            del sys.modules["by_habit_forgotten"]
            import by_habit_forgotten as two

            assert one is not two
            return {**two.versions(), "one": one.versions()["late"]}
        finally:
            sys.path.remove(folder)
            sys.modules.pop("by_habit_forgotten", None)


def with_exec():
    """`exec` with globals of its own, of a text that imports."""
    names = {}
    exec(SOURCE + "\nfound = versions()", names)
    return names["found"]


def in_c():
    """An import that code in C calls, on a thread that C starts."""
    found = {}
    work = functools.partial(found.setdefault, "thread", None)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    found.update(zip(["map"], map(importlib.import_module, ["sgtk"])))
    found.update(zip(["max"], [max(["tank"], key=importlib.import_module)]))
    return {"map": found["map"].CORE_VERSION, "max": sys.modules[found["max"]].CORE_VERSION}


def when_collected():
    """What is called when an object goes."""
    found = []

    class Gone:
        def __del__(self):
            import sgtk as late

            found.append(late.CORE_VERSION)

    def finalized():
        found.append(importlib.import_module("sgtk").CORE_VERSION)

    gone = Gone()
    weakref.finalize(gone, finalized)
    del gone
    return dict(enumerate_text(found))


def enumerate_text(found):
    return ((str(number), version) for number, version in enumerate(found))


def generated():
    """A generator that was begun in the project's turn, or off it, and imports when it goes on."""
    return {"generator": next(BEGUN), "own": next(begin())}


def begin():
    while True:
        import tank as late

        yield late.CORE_VERSION


BEGUN = begin()
