"""Compiled code of a core and its plugins on disk, by the contents of the sources.

Python keeps none for sources in zips, and takes what lies beside a source for it by size and second. The
files are those that the daemon writes: 16 bytes that name the format, a checksum, the code.
"""

import _frozen_importlib_external as importer
import _imp
import gc
import marshal
import os
import stat
import sys

MAGIC = b"sgtk-host code 1"
HEAD = len(MAGIC) + 32

_READ = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)

#: Where code is kept, once that has begun, and why nothing is.
_store = _unsafe = None

#: Whether imports look there. A forked worker has it from its template.
_is_looked_up = False


def open_store(folder):
    """Has compiled code be kept in `folder`, unless it cannot be used."""
    global _store, _unsafe
    tag = sys.implementation.cache_tag
    digest = _digest()
    if not (folder and tag and digest):
        return
    magic = "".join("%02x" % byte for byte in importer.MAGIC_NUMBER)
    try:
        _store = Store(folder, "%s-%s-%d" % (tag, magic, sys.flags.optimize), digest)
    except OSError:
        pass
    except Unsafe as error:
        _unsafe = str(error)


def kept(path, source, compile_source):
    """The code of a source that is no file."""
    return compile_source() if _store is None else _store.code(path, source, compile_source)


def start():
    """Has sources that are imported from now on be looked up there."""
    global _is_looked_up
    if _unsafe:
        part("records").logging.getLogger("sgtk_host.code").warning("compiled code is not used: %s", _unsafe)
    if _store is not None and not _is_looked_up:
        _is_looked_up = True
        _look_up_in_folders(_store)
        _look_up_in_zips(_store)


def import_core(core, do_import):
    """
    Imports the core whose `python` folder is `core`, with the code of the functions that `dataclasses` writes
    as text from one piece on disk, as the daemon keeps it: a newer core has two hundred data classes.
    """
    # What an import makes is there to stay: looking for garbage in it takes a third of the time.
    threshold = gc.get_threshold()
    gc.set_threshold(0)
    try:
        if _store is None:
            do_import()
        else:
            _with_texts(_store, core, do_import)
    finally:
        if gc.get_threshold()[0] == 0:
            gc.set_threshold(*threshold)


def _with_texts(store, core, do_import):
    key = store.digest(("dataclasses of " + core).encode("utf-8", "surrogateescape")).digest()
    known = store.read(key.hex(), key)
    is_kept = type(known) is dict
    if is_kept and not known:
        # An older core without data classes needs no `dataclasses` loaded for it.
        do_import()
        if "dataclasses" in sys.modules:
            store.write(key.hex(), key, None)
        return
    import dataclasses

    known = known if is_kept else {}
    used, new = {}, []

    def execute(source, globals=None, locals=None):
        if type(source) is str:
            text, source = source, known.get(source)
            if source is None:
                source = known[text] = compile(text, "<string>", "exec", 0, True)
                new.append(text)
            used[text] = source
        exec(source, globals, locals)

    dataclasses.exec = execute
    try:
        do_import()
    finally:
        del dataclasses.exec
    if new or not is_kept:
        store.write(key.hex(), key, used)


class Unsafe(Exception):
    """Others could put code there for this process to run."""


class Store:
    """The folder of this Python's code, which was looked at once and stays open."""

    def __init__(self, folder, tag, digest):
        self.digest = digest
        self.read_only = False
        try:
            os.makedirs(folder, 0o700)
        except OSError:
            pass  # It is there, or opening it tells more.
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        top = os.open(folder, flags)
        try:
            _check(folder, os.fstat(top))
            try:
                os.mkdir(tag, 0o700, dir_fd=top)
            except OSError:
                pass
            self.folder = os.open(tag, flags | os.O_NOFOLLOW, dir_fd=top)
        finally:
            os.close(top)
        try:
            _check(os.path.join(folder, tag), os.fstat(self.folder))
        except Unsafe:
            os.close(self.folder)
            raise

    def code(self, path, source, compile_source):
        """The code of the source at `path`."""
        key = self.digest(source).digest()
        name = key.hex()
        code = self.read(name, key)
        if type(code) is type(_check.__code__):
            _imp._fix_co_filename(code, path)
            return code
        code = compile_source()
        self.write(name, key, code)
        return code

    def read(self, name, key):
        """What is kept under a key, or None."""
        try:
            number = os.open(name, _READ, dir_fd=self.folder)
        except OSError:
            return None
        try:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode) or _why_unsafe(found):
                return None
            data = _read_all(number, found.st_size)
        except OSError:
            return None
        finally:
            os.close(number)
        data = memoryview(data)
        code = data[HEAD:]
        if data[: len(MAGIC)] != MAGIC or data[len(MAGIC) : HEAD] != self._checksum(key, code):
            return None
        try:
            return marshal.loads(code)
        except (EOFError, TypeError, ValueError):
            return None

    def write(self, name, key, code):
        """Keeps something, where that is possible."""
        if self.read_only:
            return
        code = marshal.dumps(code)
        temporary = ".%d-%s" % (os.getpid(), name)
        try:
            number = os.open(temporary, _WRITE, 0o600, dir_fd=self.folder)
            try:
                with open(number, "wb") as stream:
                    stream.write(MAGIC + self._checksum(key, code) + code)
                os.rename(temporary, name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
            except BaseException:
                os.unlink(temporary, dir_fd=self.folder)
                raise
        except OSError:
            # Read-only, full, over its quota: others will meet the same.
            self.read_only = True

    def _checksum(self, key, code):
        checksum = self.digest(key)
        checksum.update(code)
        return checksum.digest()


def _read_all(number, size):
    data = os.read(number, size)
    while len(data) < size:
        more = os.read(number, size - len(data))
        if not more:
            break
        data += more
    return data


def _digest():
    """BLAKE2b of 32 bytes, without what `hashlib` loads."""
    try:
        from _blake2 import blake2b
    except ImportError:
        try:
            from hashlib import blake2b
        except ImportError:
            return None
    return lambda data: blake2b(data, digest_size=32)


def _check(folder, found):
    why = _why_unsafe(found)
    if why:
        raise Unsafe("%s: %s" % (folder, why))


def _why_unsafe(found):
    """Why somebody else than the user, or root, could have written what is there."""
    user = os.geteuid()
    if found.st_uid not in (user, 0):
        return "it belongs to user %d, and not to user %d" % (found.st_uid, user)
    if found.st_mode & 0o022:
        return "others can write to it (mode %o)" % (found.st_mode & 0o777)
    return None


def _look_up_in_folders(store):
    loader = importer.SourceFileLoader
    own, source_to_code = loader.get_code, loader.source_to_code

    def get_code(self, fullname):
        # What a loader does on its own to sources is in no key.
        if type(self).source_to_code is not source_to_code:
            return own(self, fullname)
        path = self.get_filename(fullname)
        if _is_installed(path):
            return own(self, fullname)
        try:
            source = self.get_data(path)
        except OSError:
            return own(self, fullname)
        return store.code(path, source, lambda: self.source_to_code(source, path))

    loader.get_code = get_code


def _look_up_in_zips(store):
    import zipimport

    # Python 3.7 has it in C.
    own = getattr(zipimport, "_compile_source", None)
    if own is None:
        return

    def compile_source(path, source):
        return store.code(path, source, lambda: own(path, source))

    zipimport._compile_source = compile_source


def _is_installed(path):
    """Whether the source is this Python's own or a package's, which has compiled code beside it."""
    return path.startswith(_STANDARD) or "site-packages" in path or "dist-packages" in path


_STANDARD = os.path.dirname(os.__file__) + os.sep
