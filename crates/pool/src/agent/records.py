"""Log records of Toolkit and the plugins, sent to the daemon.

One handler is on the logger `sgtk`, which does not propagate once a core is loaded, and on the root logger, for the
plugins' own. Each record is sent once. The level that the daemon wants is the handler's and the root logger's; that of
`sgtk` is Toolkit's own affair. As the root logger has a handler, `logging.basicConfig` in a plugin changes nothing.
"""

import logging
import os

LOGGERS = ("sgtk", "")

#: Characters of a record's message that are sent.
LONGEST = 1 << 15

_handler = None


class ToDaemon(logging.Handler):
    """Sends records over the worker's pipe for them; a child that a plugin has forked sends none."""

    def emit(self, record):
        """Never raises: a record that cannot be formatted says so."""
        if record.__dict__.get("_sgtk_host_sent"):
            return
        wire, errors = part("wire"), part("errors")
        descriptor = wire.descriptors["records"]
        if descriptor < 0:
            return
        try:
            record.__dict__["_sgtk_host_sent"] = True
            try:
                message = record.getMessage()
            except Exception as error:
                message = "%s [cannot be formatted: %s]" % (record.msg, errors.message(error))
            told = {
                "logger": errors.clean(str(record.name)),
                "level": int(record.levelno),
                "message": errors.clean(message, LONGEST),
                "pid": os.getpid(),
                "thread": errors.clean(str(record.threadName)),
                "exc": self.exception_of(record),
            }
            wire.say(told, descriptor)
        except Exception:
            pass  # The daemon is gone, or a plugin has closed the pipe.

    def exception_of(self, record):
        """The record's traceback as text."""
        errors = part("errors")
        if record.exc_info and isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            return errors.clean(errors.traceback_of(record.exc_info[1]), LONGEST)
        return errors.clean(str(record.exc_text), LONGEST) if record.exc_text else None


def start(level):
    """Puts the handler in place, for records of `level` (a name) and above."""
    global _handler
    number = logging.getLevelName(level) if level else logging.INFO
    if _handler is None:
        _handler = ToDaemon()
    _handler.setLevel(number if isinstance(number, int) else logging.INFO)
    settle()
    # The root logger's own level is WARNING, which would keep back what was asked for.
    logging.getLogger().setLevel(_handler.level)


def settle():
    """Puts the handler on its loggers where it is not on them (any more)."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if _handler is not None and _handler not in logger.handlers:
            logger.addHandler(_handler)
