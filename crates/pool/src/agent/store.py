"""What is kept on disk: compiled code, by the contents of the sources.

The files are those that the daemon writes: 16 bytes that name the format, a checksum, the code. This piece is
the one that is compiled at each start, so it holds no more than what the others are had by.
"""

import _frozen_importlib_external as importer
import _imp
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

#: Where code is kept, and why nothing is.
store = unsafe = None


def open_store(folder):
    """Has compiled code be kept in `folder`, unless it cannot be used."""
    global store, unsafe
    tag = sys.implementation.cache_tag
    digest = _digest()
    if not (folder and tag and digest):
        return
    magic = "".join("%02x" % byte for byte in importer.MAGIC_NUMBER)
    try:
        store = Store(folder, "%s-%s-%d" % (tag, magic, sys.flags.optimize), digest)
    except OSError:
        pass
    except Unsafe as error:
        unsafe = str(error)


def kept(path, source, compile_source):
    """The code of a source that is no file."""
    return compile_source() if store is None else store.code(path, source, compile_source)


def descriptors():
    """What is to stay open."""
    return set() if store is None else {store.folder}


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
