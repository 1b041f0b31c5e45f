"""Leaves threads running."""

import concurrent.futures
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


def keeps_an_executor():
    """An executor that nobody shuts down, with a task that has begun."""
    begun = threading.Event()
    executor = concurrent.futures.ThreadPoolExecutor(1)
    executor.submit(_task, begun)
    begun.wait()
    _kept.append(executor)


_kept = []


def _task(begun):
    begun.set()
    time.sleep(0.1)
    print("task done")
