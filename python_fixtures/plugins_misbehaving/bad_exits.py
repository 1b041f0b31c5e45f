"""Ends its process, in each way that there is."""

import ctypes
import os
import signal
import sys


def with_sys_exit(status):
    """A plugin that takes itself for a program."""
    sys.exit(status)


def at_once(status):
    """Past every handler, with a line of output unfinished."""
    os.write(2, b"about to leave")
    os._exit(status)


def by_signal(number):
    """Kills itself."""
    os.kill(os.getpid(), number)
    signal.pause()


def by_null_pointer():
    """Crashes in C code."""
    return ctypes.string_at(0)


def by_abort():
    """What a failed assertion in C code does."""
    os.abort()


def with_keyboard_interrupt():
    """What Ctrl-C raises."""
    raise KeyboardInterrupt
