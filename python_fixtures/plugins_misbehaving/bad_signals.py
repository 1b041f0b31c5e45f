"""Has a signal delivered when its call is long over."""

import signal


def _raise(number, frame):
    raise RuntimeError("a signal's handler, at no good moment")


def raises_soon(seconds):
    """A handler that raises in so many seconds."""
    signal.signal(signal.SIGALRM, _raise)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    return "soon"
