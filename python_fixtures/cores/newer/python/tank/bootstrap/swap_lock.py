"""What is held while cores are exchanged: nothing, so that other threads see the core half gone."""

import contextlib

CORE_VERSION = "@VERSION@"


@contextlib.contextmanager
def swap_lock():
    """Keeps nobody from anything."""
    yield
