"""Starts processes, and leaves them."""

import multiprocessing
import os
import subprocess
import sys
import time

_SLEEP = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]


def holds_pipes():
    """A grandchild that has the worker's standard output and error, and outlives it. Returns its process id.
    """
    return subprocess.Popen(_SLEEP).pid


def holds_everything():
    """The same, and with each descriptor that the worker would let it have."""
    return subprocess.Popen(_SLEEP, close_fds=False).pid


def holds_pipes_and_dies():
    """A grandchild that holds the pipes of a worker that is gone."""
    child = subprocess.Popen(_SLEEP)
    sys.stderr.write("grandchild %d\n" % child.pid)
    os._exit(9)


def escapes_and_floods():
    """A grandchild out of reach that writes to the pipes of a worker that is gone, as long as somebody reads.
    """
    begun, begins = os.pipe()
    flood = "import os\nlines = bytes([10]) * 65536\nos.write(1, lines)\nos.write(%d, lines[:1])\n" % begins
    flood += "while True: os.write(1, lines)"
    subprocess.Popen([sys.executable, "-I", "-S", "-c", flood], pass_fds=[begins], start_new_session=True)
    os.read(begun, 1)
    os._exit(9)


def forks_and_returns():
    """The call returns in the child, too."""
    child = os.fork()
    if child == 0:
        return "the child's answer"
    os.waitpid(child, 0)
    return "the parent's answer"


def forks_and_raises():
    """The call raises in the child."""
    child = os.fork()
    if child == 0:
        raise RuntimeError("in the child")
    return os.waitpid(child, 0)[1]


def forks_and_stays():
    """The child stays, with all that it has inherited. Returns its process id."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    return child


def forks_and_logs():
    """The child logs, on a pipe that is not its own any more."""
    import logging

    child = os.fork()
    if child == 0:
        logging.getLogger("child").error("from the child")
        os._exit(0)
    return os.waitpid(child, 0)[1]


def _square(number):
    return number * number


def uses_a_pool(method, numbers):
    """`multiprocessing` by fork or spawn."""
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(_square, numbers)
