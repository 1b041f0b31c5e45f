"""Has a signal's handler raise."""

import os
import signal


def _raise(number, frame):
    raise RuntimeError("a signal's handler, at no good moment")


def raises_when_it_comes():
    """A handler for SIGALRM that raises, whenever that comes. Returns the process id to send it to."""
    signal.signal(signal.SIGALRM, _raise)
    return os.getpid()


def raises_now():
    """Gets the signal in the call."""
    raises_when_it_comes()
    os.kill(os.getpid(), signal.SIGALRM)
    while True:
        pass  # The handler runs between two of these.
