"""Tells how its process is ended."""

import atexit
import os
import signal
import time


def tell(path, deaf):
    """Writes what it notices to a file; a deaf one goes on all the same."""

    def note(word):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, word + b" ")
        os.close(descriptor)

    def asked():
        note(b"asked")
        while deaf:
            time.sleep(0.01)

    signal.signal(signal.SIGTERM, lambda number, frame: note(b"terminated"))
    atexit.register(asked)
    return os.getpid()
