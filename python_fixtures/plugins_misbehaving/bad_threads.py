"""Leaves threads running."""

import threading
import time


def leaves_running(count, daemon):
    """So many threads that never end. Returns how many threads there are then."""
    for _ in range(count):
        threading.Thread(target=time.sleep, args=(600,), daemon=daemon).start()
    return threading.active_count()


def prints_later():
    """A thread that prints when the call is over."""
    threading.Timer(0.05, print, args=("later",)).start()
    return "now"
