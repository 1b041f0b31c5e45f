"""What is held while cores are exchanged.

Hazard: it is the interpreter's own lock of imports, so that no other thread can import anything meanwhile.
"""

import _imp
import contextlib

CORE_VERSION = "@VERSION@"


@contextlib.contextmanager
def swap_lock():
    """Keeps other threads from importing."""
    _imp.acquire_lock()
    try:
        yield
    finally:
        _imp.release_lock()
