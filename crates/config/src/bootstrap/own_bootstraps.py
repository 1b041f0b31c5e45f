"""Bootstraps that code runs by itself, with a core that it was lent: in a lease of the daemon's, or in a
worker's call.

What such code starts and leaves, an engine above all, is to end with the lease or the call.
"""

import functools
import logging
import sys


def serve_bootstraps(exchange, started):
    """
    Has bootstraps with the loaded core exchange it for another one by `exchange`, and has `started` called
    with each engine. Nothing of it fails where the core lacks something.

    :param exchange: puts the core with this `python` folder in place of the one that is loaded, which stays
        whole. A bootstrap while an engine runs exchanges the core in any case, as each copy of a core has one
        engine.
    :param started: called with each engine that is started, when it has started.
    """
    handler = getattr(_module("tank.bootstrap.import_handler"), "CoreImportHandler", None)
    if handler is not None:
        handler.swap_core = staticmethod(_swap_by(exchange))
    kind = getattr(_module("tank.bootstrap.configuration"), "Configuration", None)
    if hasattr(kind, "_get_current_core_python_path"):
        _exchange_where_an_engine_runs(kind)
    for name in ("tank.platform.engine", "tank.platform"):
        _tell_started(sys.modules.get(name), started)


def _swap_by(exchange):
    """`CoreImportHandler.swap_core`. The log file goes on with the new core; the other one keeps its own."""

    def swap_core(core_path):
        file = _ask(lambda: sys.modules["tank"].LogManager().base_file_handler.baseFilename)
        exchange(core_path)
        if file:
            _ask(lambda: sys.modules["tank"].LogManager().initialize_base_file_handler_from_path(file))

    return swap_core


def _exchange_where_an_engine_runs(kind):
    original = kind._get_current_core_python_path
    original = getattr(original, "sgtk_host_original", original)

    @functools.wraps(original)
    def current_core(self, *args, **kwargs):
        return None if _current_engine() is not None else original(self, *args, **kwargs)

    current_core.sgtk_host_original = original
    kind._get_current_core_python_path = current_core


def _tell_started(module, started):
    original = getattr(module, "start_engine", None)
    original = getattr(original, "sgtk_host_original", original)
    if original is None:
        return

    @functools.wraps(original)
    def start_engine(*args, **kwargs):
        logger = logging.getLogger("sgtk")
        before = list(logger.handlers)
        try:
            engine = original(*args, **kwargs)
        except BaseException:
            # One that fails half-way leaves its handler, which keeps it alive.
            for handler in [handler for handler in logger.handlers if handler not in before]:
                logger.removeHandler(handler)
            raise
        started(engine)
        return engine

    start_engine.sgtk_host_original = original
    module.start_engine = start_engine


def _current_engine():
    """The engine of the loaded core that runs, or None."""
    return _ask(lambda: sys.modules["tank"].platform.current_engine())


def end_left_engine(ends_log=True):
    """
    Destroys the engine of the loaded core that still runs. Returns what it is and what its end has raised, as
    texts; `None` for nothing.

    :param ends_log: whether the core's log file ends with it.
    """
    engine = _current_engine()
    label = problem = None
    try:
        if engine is not None:
            label = _text(lambda: "%s (%s)" % (engine.context, engine.instance_name)) or type(engine).__name__
            engine.destroy()
    except BaseException as error:
        problem = "%s: %s" % (type(error).__name__, error)
    if engine is not None and _current_engine() is engine:
        # Else the core would say forever that an engine is running already.
        _ask(lambda: sys.modules["tank.platform.engine"].set_current_engine(None))
    if ends_log:
        handler = _ask(lambda: sys.modules["tank"].LogManager().base_file_handler)
        _ask(lambda: sys.modules["tank"].LogManager().uninitialize_base_file_handler())
        _ask(lambda: handler.close())
    return label, problem
