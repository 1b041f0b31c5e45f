"""Code of a project that has others run what is not its own code: functions of C and of the standard library,
on threads and timers that it starts and in executors.

Hazards: nothing of the project's is among the functions that were called on the way, on such a thread.
"""

import _thread
import asyncio
import concurrent.futures
import functools
import importlib
import multiprocessing.pool
import os
import sched
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import sgtk

AT_IMPORT = sgtk.CORE_VERSION


def by_thread(function, *args):
    threading.Thread(target=function, args=args).start()


def by_partial(function, *args):
    threading.Thread(target=functools.partial(function, *args)).start()


def by_bound_method(function, *args):
    scheduler = sched.scheduler()
    scheduler.enter(0, 1, function, argument=args)
    threading.Thread(target=scheduler.run).start()


def by_timer(function, *args):
    threading.Timer(0, function, args).start()


def by_raw_thread(function, *args):
    _thread.start_new_thread(function, args)


def by_thread_of_a_thread(function, *args):
    by_thread(by_thread.__class__(by_thread.__code__, {"threading": threading}), function, *args)


def by_executor(function, *args):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        executor.submit(function, *args)


def by_map(function, *args):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        list(executor.map(function, *[[one] for one in args]))


def by_initializer(function, *args):
    with concurrent.futures.ThreadPoolExecutor(1, "name", function, args) as executor:
        executor.submit(len, ())


def by_pool(function, *args):
    with multiprocessing.pool.ThreadPool(1) as pool:
        pool.apply(function, args)


def by_event_loop(function, *args):
    async def run():
        await asyncio.get_running_loop().run_in_executor(None, function, *args)

    asyncio.run(run())


WAYS = [
    by_thread,
    by_partial,
    by_bound_method,
    by_timer,
    by_raw_thread,
    by_thread_of_a_thread,
    by_executor,
    by_map,
    by_initializer,
    by_pool,
    by_event_loop,
]


def _until(holds):
    """Waits for what another thread or process does."""
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it was never so"
        time.sleep(0.001)


def _child(start, line):
    """What a shell says that was started so."""
    folder = tempfile.mkdtemp()
    said = os.path.join(folder, "said")
    start("{ %s; } > %s.part && mv %s.part %s" % (line, said, said, said))
    _until(lambda: os.path.exists(said))
    with open(said) as file:
        text = file.read().strip()
    shutil.rmtree(folder)
    return text


def children():
    """The configuration of each child, and whether git may ask in it, by what has started it."""
    line = "echo $TANK_CURRENT_PC $GIT_TERMINAL_PROMPT"
    told = {}
    for way in WAYS:
        told[way.__name__] = _child(lambda command: way(os.system, command), line)
        told[way.__name__ + " call"] = _child(
            lambda command: way(subprocess.call, ["sh", "-c", command]), line
        )
    return told


def _versions(path, way):
    """The versions that a file says which needs its core."""
    with open(path) as file:
        code = compile(file.read() + "\ntold.append(versions())\n", path, "exec")
    told = []
    way(exec, code, {"__name__": "by_others_executed", "__file__": path, "told": told})
    _until(lambda: told)
    return told[0]


def executed(path):
    """A module that is executed by each of these; what it imports late is its core's."""
    return {way.__name__: _versions(path, way) for way in WAYS if way not in (by_map, by_initializer)}


def imported(folder, name):
    """A module that the import system itself is asked for on a thread of its own."""
    sys.path.append(folder)
    found = {}
    for way in WAYS:
        if way in (by_map, by_initializer):
            continue
        way(importlib.import_module, name)
        _until(lambda: hasattr(sys.modules.get(name), "versions"))
        found[way.__name__] = sys.modules.pop(name).versions()
    sys.path.remove(folder)
    sys.path_importer_cache.pop(folder, None)
    return found


def changed(name):
    """Variables that are set by their own method on such a thread."""
    for way in WAYS:
        if way is by_map:
            continue
        way(os.environ.__setitem__, name, way.__name__)
        _until(lambda: os.environ.get(name) == way.__name__)
        del os.environ[name]
    return os.environ.get("TANK_CURRENT_PC")


def given(executor):
    """A child by an executor of somebody else's."""
    return _child(
        lambda command: executor.submit(os.system, command), "echo $TANK_CURRENT_PC $GIT_TERMINAL_PROMPT"
    )
