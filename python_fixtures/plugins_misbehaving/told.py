"""Tells about its process. Does no harm."""

import gc
import os
import random
import signal
import sys
import threading


def echo(value):
    """What was given."""
    return value


def identity():
    """What a test wants to know of a worker."""
    return {
        "pid": os.getpid(),
        "group": os.getpgrp(),
        "python": list(sys.version_info[:2]),
        "executable": sys.executable,
        "path": sys.path,
        "arguments": sys.argv,
        "threads": threading.active_count(),
        "random": [random.random(), random.getrandbits(64)],
        "current_pc": os.environ.get("TANK_CURRENT_PC"),
        "stdin": os.read(0, 10).decode(),
        "encodings": [sys.stdout.encoding, sys.stderr.encoding, sys.stdout.errors],
        "sigterm": str(signal.getsignal(signal.SIGTERM)),
        "sigchld": str(signal.getsignal(signal.SIGCHLD)),
        "blocked": sorted(int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    }


def descriptors():
    """What each open descriptor leads to, by number."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink("/proc/self/fd/" + name)
        except OSError:
            pass
    return found


def toolkit(sgtk):
    """The project's Toolkit: given, and by importing it."""
    import sgtk as imported
    import tank

    return {"version": sgtk.__version__, "file": sgtk.__file__, "same": sgtk is imported is tank}


def is_old_for_the_collector():
    """Whether the collector has the core's own names among what it seldom looks at."""
    return any(found is sys.modules["tank"].__dict__ for found in gc.get_objects(generation=2))


def tank_of(tank, also=None):
    """The Toolkit object that was filled in."""
    return {"path": tank.project_path, "configuration": tank.configuration_path, "also": also}


def wants(event, *, sgtk, context=None):
    """Parameters by keyword, and one that there may be no value for."""
    return {"event": event, "version": sgtk.__version__, "context": context}


def engine_of(engine):
    """The engine that was filled in."""
    return engine.name


def log(logger, level, message):
    """Logs."""
    import logging

    logging.getLogger(logger).log(level, message)


def log_exception(logger):
    """Logs an exception with its traceback."""
    import logging

    try:
        raise KeyError("logged")
    except KeyError:
        logging.getLogger(logger).exception("it failed: %s", "here")


def say(text, error=""):
    """Prints."""
    print(text)
    if error:
        print(error, file=sys.stderr)


class Methods(object):
    """Has a function that is not at the top of its module."""

    @staticmethod
    def static(value, sgtk=None):
        """Whether there was a Toolkit to fill in."""
        return [value, sgtk is not None]


def bootstrapped(engine, context, tank, sgtk):
    """What was filled in where an engine was bootstrapped, and what its app says of its parts' versions."""
    import sgtk as imported

    return {
        "same": [engine.sgtk is tank, engine.context is context, imported is sgtk],
        "version": sgtk.__version__,
        "project": context.project["name"],
        "current_pc": os.environ.get("TANK_CURRENT_PC"),
        "configuration": tank.pipeline_configuration.get_path(),
        "versions": engine.commands["versions"]["callback"](),
    }


def fail_with(text):
    """Tells in a log record and in an exception what it should not."""
    import logging

    logging.getLogger("sgtk").error("the key is %s", text)
    raise RuntimeError("the key is %s" % text)
