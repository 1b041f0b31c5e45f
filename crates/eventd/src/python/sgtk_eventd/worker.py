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
    for folder in reversed(setup.get("python_paths") or ()):
        if folder not in sys.path:
            sys.path.insert(0, folder)


def ready():
    """Nothing: the process is there."""
