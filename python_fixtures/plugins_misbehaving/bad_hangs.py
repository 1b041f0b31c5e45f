"""Does not come back."""

import signal
import threading
import time


def for_ever():
    """Spins."""
    while True:
        pass


def in_c():
    """Waits in C code, where no signal's handler of Python's runs."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def ignoring_sigterm():
    """Will not be asked to go."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1)


def for_seconds(seconds):
    """Comes back late."""
    time.sleep(seconds)
    return "late"
