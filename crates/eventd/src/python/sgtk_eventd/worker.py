"""What every worker of the daemon does before its first work."""

import socket
import sys

from . import records

#: Seconds that sockets wait, as in shotgunEvents.
SOCKET_TIMEOUT = 60


def start(setup):
    """Logging, sockets, `sys.path`. May be called again."""
    records.start()
    socket.setdefaulttimeout(SOCKET_TIMEOUT)
    if not setup.get("core"):
        _without_toolkit()
    for folder in reversed(setup.get("python_paths") or ()):
        if folder not in sys.path:
            sys.path.insert(0, folder)


def _without_toolkit():
    """The worker has no core: not even the empty one that it was started with, so that an installed one is found."""
    for name in ("sgtk", "tank"):
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        if "/none/" in file and "sgtk-eventd-" in file:
            del sys.modules[name]
    sys.path[:] = [folder for folder in sys.path if not ("/none/" in folder and "sgtk-eventd-" in folder)]


def end():
    """Ends the process, so that the next call finds a new one. It gives no answer."""
    import os

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    os._exit(0)
