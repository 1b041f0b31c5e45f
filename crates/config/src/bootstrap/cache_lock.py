"""The lock of a project's folder in the site's cache.

A bootstrap rewrites that folder in place, and reads configuration and core from it to its end. So those of
one folder come one after the other, whichever processes of this library they are in. The lock is an advisory
one on a file beside the folder (`flock`; on Windows a locked byte), so it ends with whoever holds it. The
file itself stays.
"""

import os
import socket
import sys
import time

#: How often a lock that somebody else holds is tried again, in seconds: the system has no wait with a limit
#: for it.
_TRY_AGAIN = 0.05


class CacheLocked(Exception):
    """The lock was held by somebody else for as long as this was to wait for it."""


class CacheLock(object):
    """The lock of one file; held from `take` to `release`, and no longer than the process lives."""

    def __init__(self, path):
        self.path = path
        self._stream = None

    def take(self):
        """Takes the lock if nobody holds it. Returns whether it is held now."""
        if self._stream is not None:
            return True
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)
        stream = open(self.path, "a+b", buffering=0)
        try:
            _lock(stream)
        except OSError as error:
            stream.close()
            if _is_held(error):
                return False
            raise
        self._stream = stream
        stream.truncate(0)
        stream.write(("process %s on %s\n" % (os.getpid(), socket.gethostname())).encode("utf-8", "replace"))
        return True

    def holder(self):
        """Who holds it, as far as that is known."""
        try:
            with open(self.path, "rb") as stream:
                return stream.read(200).decode("utf-8", "replace").strip() or "a process"
        except OSError:
            return "a process"

    def wait(self, seconds, tell):
        """
        Takes the lock, after whoever holds it.

        :param seconds: how long to wait at most; None forever.
        :param tell: called once with whom it waits for.
        """
        start = time.monotonic()
        told = False
        while not self.take():
            waited = time.monotonic() - start
            if seconds is not None and waited >= seconds:
                text = "%s is locked by another bootstrap: %s holds it, after %.1f s of waiting"
                raise CacheLocked(text % (self.path, self.holder(), waited))
            if not told:
                told = True
                tell(
                    "waiting for another bootstrap of the same folder: %s holds %s"
                    % (self.holder(), self.path)
                )
            time.sleep(_TRY_AGAIN)

    def release(self):
        """Lets go of it, where it is held."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.truncate(0)
                # Children that were forked meanwhile have the file open as well.
                _unlock(stream)
            finally:
                stream.close()


def lock_of(folder):
    """The lock of a configuration's folder, `…/p176c12.basic/cfg`: a file beside the folder that it lies in.
    """
    return CacheLock(os.path.dirname(os.path.abspath(folder)) + ".lock")


if sys.platform == "win32":
    import msvcrt

    # Beyond what is written: a locked byte cannot be read by others.
    _BYTE = 1 << 20

    def _lock(stream):
        stream.seek(_BYTE)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)

    def _unlock(stream):
        stream.seek(_BYTE)
        msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _lock(stream):
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(stream):
        fcntl.flock(stream, fcntl.LOCK_UN)


def _is_held(error):
    import errno

    return error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)


class FolderTurn(object):
    """One bootstrap's turn at the folder that it rewrites."""

    def __init__(self, lock=None, busy=None, seconds=None):
        """
        :param lock: the lock that is held already, of an attempt before.
        :param busy: called with the lock's path where somebody else holds it, instead of waiting; it has to
            raise.
        :param seconds: how long to wait at most; None forever.
        """
        self._lock = lock
        self._busy = busy
        self._seconds = seconds
        #: The folder that the bootstrap rewrites; None where it rewrites none.
        self.folder = None

    def watch(self):
        """Has the turn begin where Toolkit knows the folder and has not looked at it yet."""
        try:
            from tank.bootstrap.cached_configuration import CachedConfiguration as kind
        except ImportError:
            return
        original = kind.verify_required_shotgun_fields
        original = getattr(original, "sgtk_host_original", original)

        def verify_required_shotgun_fields(configuration, *args, **kwargs):
            path = configuration.path
            self._begin(getattr(path, "current_os", path))
            return original(configuration, *args, **kwargs)

        verify_required_shotgun_fields.sgtk_host_original = original
        kind.verify_required_shotgun_fields = verify_required_shotgun_fields

    def _begin(self, folder):
        import logging

        log = logging.getLogger("sgtk_host.bootstrap")
        lock = lock_of(folder)
        self.folder = os.path.abspath(folder)
        if self._lock is not None and self._lock.path == lock.path:
            return
        # The configuration of the attempt before is another one now.
        self.end()
        try:
            if self._busy is None:
                lock.wait(self._seconds, log.warning)
            elif not lock.take():
                self._busy(lock.path)
        except OSError as error:
            # A disk without locks, or that cannot be written to: the bootstrap itself will tell.
            log.warning(
                "cannot lock %s, so bootstraps of it by others may disturb this one: %s", lock.path, error
            )
            return
        self._lock = lock

    def end(self):
        """Lets the others have their turn."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


def wait_for_lock(path, seconds, tell):
    """Takes the lock at `path`, after whoever holds it, and returns it."""
    lock = CacheLock(path)
    lock.wait(seconds, tell)
    return lock
