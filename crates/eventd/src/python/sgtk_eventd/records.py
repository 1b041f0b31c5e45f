"""Log records on their way to the daemon, which writes the files, sends the mails and keeps the formats.

Each is the JSON message of a record of the logger `sgtk_eventd.record`, as the daemon's pipe for records
knows loggers, levels and text alone, and a studio's files want the time, the level's own name and where it
was said.
"""

import json
import logging

NAME = "sgtk_eventd.record"

#: The names of the plugins: theirs are the loggers `plugin.<name>` and those below. Where projects share a
#: process each has this module, and all of them one logger.
plugins = vars(logging.getLogger(NAME)).setdefault("plugins", set())

#: Characters of a message that are sent.
LONGEST = 20000


class ToDaemon(logging.Handler):
    """Sends each record once."""

    #: The process's own handler, of whatever copy of this module, and not that of the pool's agent.
    is_whole = True

    def __init__(self, below):
        super(ToDaemon, self).__init__()
        self._way = logging.getLogger(NAME)
        self._way.propagate = False
        self._way.handlers = below
        self._way.setLevel(1)
        for handler in below:
            handler.setLevel(1)
        self._format = logging.Formatter()

    def emit(self, record):
        """Never raises: a record that cannot be formatted says so."""
        try:
            message = record.getMessage()
        except Exception as error:
            message = "%s [cannot be formatted: %r]" % (record.msg, error)
        if record.exc_info and not record.exc_text:
            try:
                record.exc_text = self._format.formatException(record.exc_info)
            except Exception:
                pass
        if record.exc_text:
            message = "%s\n%s" % (message, record.exc_text)
        if record.stack_info:
            message = "%s\n%s" % (message, record.stack_info)
        if len(message) > LONGEST:
            left_out = len(message) - LONGEST
            half = LONGEST // 2
            message = "%s\n[... %d characters left out ...]\n%s" % (message[:half], left_out, message[-half:])
        told = {
            "name": str(record.name),
            "level": int(record.levelno),
            "level_name": str(record.levelname),
            "created": record.created,
            "path": str(record.pathname),
            "line": record.lineno,
            "function": str(record.funcName),
            "message": message,
            "plugin": plugin_of(str(record.name)),
        }
        self._way.log(max(record.levelno, 1), "%s", json.dumps(told))


def plugin_of(logger):
    """The plugin that a logger belongs to. Names may have dots in them."""
    if not logger.startswith("plugin."):
        return None
    rest = logger[len("plugin.") :]
    while rest not in plugins:
        rest, dot, _ = rest.rpartition(".")
        if not dot:
            return None
    return rest


def start():
    """Puts the handler in the place of the worker's own on the root logger, whose level is Python's default.
    """
    root = logging.getLogger()
    below = [handler for handler in root.handlers if type(handler).__name__ == "ToDaemon"]
    if not below or hasattr(below[0], "is_whole"):
        return
    for handler in below:
        root.removeHandler(handler)
    root.addHandler(ToDaemon(below))
    root.setLevel(logging.WARNING)


class Told(logging.Handler):
    """Gives the text of records to a function."""

    def __init__(self, tell):
        super(Told, self).__init__()
        self._tell = tell

    def emit(self, record):
        """JSON, so that it is ASCII."""
        self._tell(record.getMessage())


def begin(tell):
    """In a process that many projects share: has the function be given each record."""
    root = logging.getLogger()
    root.addHandler(ToDaemon([Told(tell)]))
    root.setLevel(logging.WARNING)
