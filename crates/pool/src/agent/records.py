"""Sends log records of Toolkit and the plugins to the daemon.

The handler is on the logger `sgtk`, which does not propagate once a core is loaded, and on the root logger,
for the plugins' own loggers. Each record is sent once. The handler and the root logger have the level that
the daemon asks for; Toolkit sets that of `sgtk`. As the root logger has a handler, `logging.basicConfig` in a
plugin changes nothing.
"""

import logging
import os

LOGGERS = ("sgtk", "")

#: Characters of a record's message that are sent.
LONGEST = 1 << 15

_handler = None


class ToDaemon(logging.Handler):
    """Sends records over their own pipe."""

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
            sent = {
                "logger": errors.clean(str(record.name)),
                "level": int(record.levelno),
                "message": errors.clean(message, LONGEST),
                "pid": os.getpid(),
                "thread": errors.clean(str(record.threadName)),
                "exc": self.exception_of(record),
            }
            wire.send_message(sent, descriptor)
        except Exception:
            pass  # The daemon has ended, or a plugin has closed the pipe.

    def exception_of(self, record):
        """The record's traceback as text."""
        errors = part("errors")
        if record.exc_info and isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            return errors.clean(errors.traceback_of(record.exc_info[1]), LONGEST)
        return errors.clean(str(record.exc_text), LONGEST) if record.exc_text else None


def tell_secret(secret):
    """Has the daemon hide a text in all that comes from this process."""
    wire = part("wire")
    descriptor = wire.descriptors.get("records", -1)
    if descriptor < 0:
        return
    if _handler is not None:
        _handler.acquire()
    try:
        wire.send_message({"secret": secret}, descriptor)
    except Exception:
        pass  # The daemon has ended, or a plugin has closed the pipe.
    finally:
        if _handler is not None:
            _handler.release()


def start(level):
    """Adds the handler, for records of `level` (a name) and above."""
    global _handler
    number = logging.getLevelName(level) if level else logging.INFO
    if _handler is None:
        _handler = ToDaemon()
    _handler.setLevel(number if isinstance(number, int) else logging.INFO)
    add_handlers()
    # The root logger's default, WARNING, would suppress lower levels.
    logging.getLogger().setLevel(_handler.level)


def add_handlers():
    """Adds the handler to its loggers if it is not there."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if _handler is not None and _handler not in logger.handlers:
            logger.addHandler(_handler)
