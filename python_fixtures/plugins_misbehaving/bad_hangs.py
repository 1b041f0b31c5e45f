"""Does not come back."""

import os
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


def answers_late(gate):
    """Comes back when the file is there, and will not be asked to go before."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while not os.path.exists(gate):
        time.sleep(0.001)
    return "late"
