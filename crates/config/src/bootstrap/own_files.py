"""The files of an engine's configuration and core, as they were when it was bootstrapped; or those of a
worker's core.

Another bootstrap, or an upgrade, rewrites the folder that they lie in, while the engine lives on. What it
imports late it then gets from memory; whatever else it reads there is an error, unless it is what it was.
"""

import hashlib
import importlib.machinery
import importlib.util
import io
import os
import stat
import sys
import threading
import weakref
import zlib

#: What an engine reads without having written it itself.
_READ = (".py", ".yml", ".yaml", ".zip", ".cfg")

_WRITES = os.O_WRONLY | os.O_RDWR

#: To open a named pipe does not wait for its other end.
_READ_ONLY = os.O_RDONLY
for _flag in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    _READ_ONLY |= getattr(os, _flag, 0)

#: Modules that look at sources to show lines of them, and must not fail where a failure is told.
SHOWS_LINES = ("linecache", "tokenize")

#: Larger files, in bytes, are known by their stamps alone.
_LARGE = 32 * 1024 * 1024

_OF_AN_ENGINE = (
    "the engine of %s cannot use %s: %s since it was bootstrapped, as another bootstrap or an upgrade has "
    "rewritten its folder. Destroy it and bootstrap it anew"
)

_OF_A_CORE = (
    "a process with the core in %s cannot use %s: %s since the core was imported, as an upgrade has rewritten "
    "its folder. It is replaced once the upgrade is over"
)

#: Set on threads that look at files themselves.
_looking = threading.local()

#: Sources of cores that several engines have in common, by their digests.
_kept = weakref.WeakValueDictionary()


class ConfigurationRewritten(RuntimeError):
    """
    A file of an engine's folder is another one than when the engine was bootstrapped.

    No `OSError` and no `ImportError`, which code that looks for files takes for an answer.
    """


class OwnFiles(object):
    """The files in an engine's folders. Also a finder for `sys.meta_path`, which serves late imports."""

    def __init__(self, label, folders, text=None, newcomers=False):
        """
        :param label: what errors call the engine.
        :param folders: the folders that are the engine's; one in another counts once.
        :param text: what errors say, with places for the label, the file and what has become of it.
        :param newcomers: whether files that come are used as long as all others are what they were: an
            upgrade's last.
        """
        folders = sorted({os.path.abspath(folder) for folder in folders}, key=len)
        self.label = label
        self.folders = []
        self._text = text or _OF_AN_ENGINE
        self._newcomers = newcomers
        self._files = {}
        self._names = {}
        self._written = set()
        self._sources = {}
        self._archives = {}
        for folder in folders:
            if not self.has(folder):
                self.folders.append(folder)
        loaded = {getattr(module, "__dict__", {}).get("__file__") for module in sys.modules.copy().values()}
        for folder in self.folders:
            for path, data, digest in self._read(folder):
                if path.endswith(".py") and path not in loaded:
                    self._sources[path] = _keep(data, digest)
                elif path.endswith(".zip") and path in sys.path:
                    self._archives[path] = _keep(data, digest, compress=False)

    def has(self, path):
        """Whether the path is in one of the folders."""
        return any(path == folder or path.startswith(folder + os.sep) for folder in self.folders)

    def check(self, event, path, mode=None, flags=0):
        """
        Looks at what the engine's own code is about to do: for audit hooks.

        :param event: `open`, `os.listdir` or `os.scandir`.
        :raises ConfigurationRewritten: where it would get something else than at the bootstrap.
        """
        if getattr(_looking, "on", False) or _is_bootstrapping():
            return
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        path = os.path.abspath(path)
        if event == "open" and _is_writing(mode, flags):
            self._written.add(path)
            return
        if event != "open" and _is_looking_for_modules():
            # It reads no file without another event, and what has gone is served from what was kept.
            return
        path = _source_of(path)
        reason = self.changed(path) if event == "open" else self._names_changed(path)
        if reason:
            raise ConfigurationRewritten(self._text % (self.label, path, reason))

    def changed(self, path):
        """In what a file is not what it was, or None."""
        if path in self._written:
            return None
        if path not in self._files:
            has_come = path.endswith(_READ) and os.path.exists(path) and not self._takes_newcomers()
            return "it has come" if has_come else None
        stamp, digest = self._files[path]
        now = _stamp(path)
        if now == stamp:
            return None
        if now is None:
            return "it has gone"
        try:
            same = digest is not None and _digest(_contents(path)) == digest
        except OSError:
            return "it cannot be read"
        if same:
            self._files[path] = now, digest
        return None if same else "it was replaced"

    def find_spec(self, name, path=None, target=None):
        """A spec for a module whose file is another one now: its code is what it was. None for what is as it
        was.
        """
        del target
        tail = name.rpartition(".")[2]
        others = []
        for entry in sys.path if path is None else list(path):
            found = isinstance(entry, str) and self.has(entry) and self._candidate(entry, tail)
            if not found:
                if not self._is_in(entry):
                    others.append(entry)
                continue
            file, is_package = found
            if not self.changed(self._archive_of(file) or file):
                return None
            before = importlib.machinery.PathFinder.find_spec(name, others)
            if before is not None:
                return before
            return importlib.util.spec_from_file_location(
                name,
                file,
                loader=_Kept(name, file, self),
                submodule_search_locations=[os.path.dirname(file)] if is_package else None,
            )
        if path is not None and not others:
            self._refuse_newcomers(name, list(path), tail)
        return None

    def _refuse_newcomers(self, name, folders, tail):
        """What was not in a package of the engine's is not there for it, whatever has come since."""
        for folder in folders:
            was = self._names.get(folder)
            if was is None or any(one == tail or one.startswith(tail + ".") for one in was):
                return
        if any(self._names_changed(folder) for folder in folders) and not self._takes_newcomers():
            raise ModuleNotFoundError("No module named %r" % name, name=name)

    def _takes_newcomers(self):
        return self._newcomers and not any(self.changed(path) for path in list(self._files))

    def invalidate_caches(self):
        """For `importlib.invalidate_caches`."""

    def source(self, path):
        """The contents of a file when the engine was bootstrapped, or None."""
        archive = self._archive_of(path)
        if archive:
            try:
                return self._archives[archive].member(path[len(archive) + 1 :])
            except KeyError:
                return None
        kept = self._sources.get(path)
        return kept and kept.data()

    def _is_in(self, entry):
        return isinstance(entry, str) and self.has(entry)

    def _candidate(self, entry, tail):
        """The file of a module in a folder or an archive, and whether it is a package."""
        for file, is_package in (
            (os.path.join(entry, tail, "__init__.py"), True),
            (os.path.join(entry, tail + ".py"), False),
        ):
            if self.source(file) is not None:
                return file, is_package
        return None

    def _archive_of(self, path):
        for archive in self._archives:
            if path.startswith(archive + os.sep):
                return archive
        return None

    def _names_changed(self, folder):
        names = self._names.get(folder)
        if names is None:
            return None
        try:
            now = {name for name in _listed(folder) if _counts(name)}
        except OSError:
            return "it has gone"
        names, now = (
            {name for name in found if os.path.join(folder, name) not in self._written}
            for found in (names, now)
        )
        gone, come = names - now, now - names
        if gone:
            return "%s has gone from it" % sorted(gone)[0]
        come = sorted(name for name in come if name.endswith(_READ))
        if come and self._takes_newcomers():
            return None
        return "%s has come into it" % come[0] if come else None

    def _read(self, folder):
        """Looks at all files in a folder, and gives those that may be imported."""
        files, names = _readers[-1](folder)
        self._names.update((folder, set(listed)) for folder, listed in names.items())
        for path, stamp, digest, data in files:
            self._files[path] = stamp, digest
            if data is not None:
                yield path, data, digest


def _read_folder(folder):
    """
    All files of a folder and below it: the path of each, its stamp, its digest, and what is in it where it
    may be imported; and the names in each folder by its path. What cannot be read is left out.
    """
    files, names = [], {}
    _walk(folder, (), files, names)
    return files, names


def _walk(folder, within, files, names):
    real = os.path.realpath(folder)
    if real in within:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    entries = [entry for entry in entries if _counts(entry.name)]
    names[folder] = [entry.name for entry in entries]
    for entry in entries:
        if entry.is_dir():
            _walk(entry.path, within + (real,), files, names)
            continue
        try:
            stamp, data = _stamp_and_contents(entry.path)
        except OSError:
            continue
        digest = None if data is None else _digest(data)
        files.append((entry.path, stamp, digest, data if entry.path.endswith((".py", ".zip")) else None))


#: How folders are read: the last one.
_readers = [_read_folder]


def read_folders_with(reader):
    """Has folders be read by another function, which gives what `_read_folder` gives."""
    _readers.append(reader)


class _Kept(importlib.machinery.SourceFileLoader):
    """Loads a module from what its file was."""

    def __init__(self, name, path, files):
        super(_Kept, self).__init__(name, path)
        self._files = files

    def get_data(self, path):
        data = self._files.source(path)
        if data is None:
            raise OSError("%s is not kept" % path)
        return data

    def path_stats(self, path):
        # So that no compiled code is looked for, and none is written beside a source that is another one.
        raise OSError("%s is another one now" % path)


class _Source(object):
    def __init__(self, data, compress):
        self._data = zlib.compress(data, 1) if compress else data
        self._compressed = compress
        self._archive = None

    def data(self):
        return zlib.decompress(self._data) if self._compressed else self._data

    def member(self, name):
        """A file of an archive."""
        if self._archive is None:
            import zipfile

            self._archive = zipfile.ZipFile(io.BytesIO(self._data))
        return self._archive.read(name.replace(os.sep, "/"))


def _keep(data, digest, compress=True):
    kept = _kept.get(digest)
    if kept is None:
        kept = _kept[digest] = _Source(data, compress)
    return kept


def _source_of(path):
    """The source of compiled code, which is the one to look at."""
    folder, name = os.path.split(path)
    if os.path.basename(folder) != "__pycache__" or not name.endswith(".pyc"):
        return path
    return os.path.join(os.path.dirname(folder), name.split(".")[0] + ".py")


def _contents(path):
    _looking.on = True
    try:
        with open(path, "rb") as stream:
            return stream.read()
    finally:
        _looking.on = False


def _stamp_and_contents(path):
    """
    What a file is at one moment; no contents of a large one, or of what is not a file.

    By descriptors, as a bootstrap waits for this and has many small files: `open` takes longer.
    """
    _looking.on = True
    try:
        descriptor = os.open(path, _READ_ONLY)
    finally:
        _looking.on = False
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGE:
            return _stamp_of(found), None
        parts = []
        # One byte more tells that there is no more.
        wanted = found.st_size + 1
        while wanted > 0:
            part = os.read(descriptor, wanted)
            if not part:
                break
            parts.append(part)
            wanted -= len(part)
        return _stamp_of(found), parts[0] if len(parts) == 1 else b"".join(parts)
    finally:
        os.close(descriptor)


def _listed(folder):
    _looking.on = True
    try:
        return os.listdir(folder)
    finally:
        _looking.on = False


def _digest(data):
    # The one that processors have instructions for.
    return hashlib.sha256(data).digest()


def _stamp(path):
    try:
        found = os.stat(path)
    except OSError:
        return None
    return _stamp_of(found)


def _stamp_of(found):
    # A file that is copied anew may get the number and the times of the one before, but for the last.
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _counts(name):
    return name not in ("__pycache__", "core.backup", "config.backup") and not name.endswith(
        (".pyc", ".lock")
    )


def _is_bootstrapping():
    """Whether the engine's core is bootstrapping anew: what it writes and reads then is the next engine's."""
    frame = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(("tank.bootstrap.", "sgtk.bootstrap.")):
            return True
        frame = frame.f_back
    return False


def _is_looking_for_modules():
    """Whether the import system lists a folder, on its way to any module."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals is globals():
        frame = frame.f_back
    name = frame and frame.f_globals.get("__name__")
    return name in ("importlib._bootstrap_external", "_frozen_importlib_external")


def _is_writing(mode, flags):
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool((flags or 0) & _WRITES)
