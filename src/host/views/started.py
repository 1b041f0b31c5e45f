"""What project code has others run: threads that it starts, what it gives to the threads of an executor, and
what is to be called at the end.

Whose code is running shows by the functions that were called on the way. On a thread of its own nothing was,
so it begins with a function of its project's: the target itself may be anybody's.
"""

import _thread
import atexit
import functools
import threading
from concurrent.futures.thread import ThreadPoolExecutor

# There when this is loaded: `thread_for` and `item_for`, which give a function that runs the one they are
# given on behalf of the project whose code is running; and that one itself where none is. `note_exit` takes
# the callbacks for the end that are a project's, `forget_exit` is told of those that are not to be called,
# `run_exits` calls those of all projects that are left.


def run(*args, _sgtk_host_function, **kwargs):
    return _sgtk_host_function(*args, **kwargs)


def starts(original):
    @functools.wraps(original)
    def start(function, *args, **kwargs):
        return original(thread_for(function), *args, **kwargs)

    return start


def takes(original):
    @functools.wraps(original)
    def submit(self, fn, /, *args, **kwargs):
        return original(self, item_for(fn), *args, **kwargs)

    return submit


def initializes(original):
    @functools.wraps(original)
    def init(self, *args, **kwargs):
        # The third, after the number of threads and the beginning of their names.
        if len(args) > 2 and args[2] is not None:
            args = (*args[:2], item_for(args[2]), *args[3:])
        elif kwargs.get("initializer") is not None:
            kwargs["initializer"] = item_for(kwargs["initializer"])
        original(self, *args, **kwargs)

    return init


def registers(original):
    @functools.wraps(original)
    def register(func, /, *args, **kwargs):
        # What is registered there keeps its place for good.
        if not note_exit(func, args, kwargs):
            original(func, *args, **kwargs)
        return func

    return register


def unregisters(original):
    @functools.wraps(original)
    def unregister(func):
        original(func)
        forget_exit(func)

    return unregister


def install():
    atexit.register(run_exits)
    atexit.register = registers(atexit.register)
    atexit.unregister = unregisters(atexit.unregister)
    for name in ("start_new_thread", "start_new", "start_joinable_thread"):
        original = getattr(_thread, name, None)
        if original is None:
            continue
        wrapped = starts(original)
        setattr(_thread, name, wrapped)
        if getattr(threading, "_" + name, None) is original:
            setattr(threading, "_" + name, wrapped)
    ThreadPoolExecutor.submit = takes(ThreadPoolExecutor.submit)
    ThreadPoolExecutor.__init__ = initializes(ThreadPoolExecutor.__init__)
