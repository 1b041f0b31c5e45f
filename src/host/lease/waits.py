"""Calls of the standard library that wait for something outside the process.

A bootstrap that makes one lets others have their turns meanwhile. On all other threads they are what they
were.
"""

import functools
import os
import select
import shutil
import socket
import subprocess
import time

try:
    import ssl
except ImportError:
    ssl = None


def install(lends, call_lending, let_others_go):
    """
    Wraps the calls.

    :param lends: whether the calling thread lends its turn.
    :param call_lending: calls a function with a tuple and a dictionary of arguments while others have their
        turns.
    :param let_others_go: has those take their turns who wait for them.
    """

    def wrap(owner, name, waits=None):
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(*args, **kwargs):
            if lends() and (waits is None or waits(*args)):
                return call_lending(original, args, kwargs)
            return original(*args, **kwargs)

        setattr(owner, name, wrapped)

    wrap(socket, "getaddrinfo")
    wrap(socket.socket, "connect")
    # All that reads an answer of HTTP, with and without TLS.
    wrap(socket.SocketIO, "readinto", _is_to_come)
    if ssl is not None:
        wrap(ssl.SSLSocket, "do_handshake")
    wrap(subprocess.Popen, "wait")
    wrap(subprocess.Popen, "communicate")
    wrap(time, "sleep")

    system, copyfile = os.system, shutil.copyfile

    @functools.wraps(system)
    def run(command):
        # One call of the system's both starts the program, with what is this project's, and waits for it.
        if os.name != "posix" or not lends():
            return system(command)
        status = subprocess.Popen(command, shell=True, close_fds=False).wait()
        return -status if status < 0 else status << 8

    @functools.wraps(copyfile)
    def copy(*args, **kwargs):
        let_others_go()
        return copyfile(*args, **kwargs)

    os.system, shutil.copyfile = run, copy


def _is_to_come(stream, *_):
    """Whether there is nothing to read yet."""
    try:
        poll = select.poll()
        poll.register(stream._sock, select.POLLIN)
        return not poll.poll(0)
    except (AttributeError, OSError, TypeError, ValueError):
        return False
