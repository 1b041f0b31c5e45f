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
    """Sends each record once. Plugins' loggers have it, and the root logger for all others: what plugins do by
    `logging.config`, `basicConfig(force=True)` or `propagate` takes no record from a plugin's log.
    """

    #: The process's own handler, of whatever copy of this module, and not that of the pool's agent.
    is_whole = True

    def __init__(self, below):
        super(ToDaemon, self).__init__()
        # By no logger, which plugins can turn off: `logging.disable`, `disable_existing_loggers`.
        self._below = below
        for handler in below:
            handler.setLevel(1)
        self._format = logging.Formatter()

    def emit(self, record):
        """Never raises: a record that cannot be formatted says so."""
        if getattr(record, "told_to_daemon", False):
            return
        record.told_to_daemon = True
        try:
            message = record.getMessage()
        except Exception as error:
            message = "%s [cannot be formatted: %s]" % (shown(record.msg), shown(error))
        if record.exc_info and not record.exc_text:
            try:
                record.exc_text = self._format.formatException(record.exc_info)
            except Exception:
                pass
        if record.exc_text:
            message = "%s\n%s" % (message, record.exc_text)
        if record.stack_info:
            message = "%s\n%s" % (message, record.stack_info)
        message = plain(message)
        if len(message) > LONGEST:
            left_out = len(message) - LONGEST
            half = LONGEST // 2
            message = "%s\n[... %d characters left out ...]\n%s" % (message[:half], left_out, message[-half:])
        told = {
            "name": plain(record.name),
            "level": int(record.levelno),
            "level_name": plain(record.levelname),
            "created": record.created,
            "path": plain(record.pathname),
            "line": record.lineno,
            "function": plain(record.funcName),
            "message": message,
            "plugin": plugin_of(plain(record.name)),
        }
        text, level = json.dumps(told), max(record.levelno, 1)
        for handler in self._below:
            handler.handle(logging.LogRecord(NAME, level, __file__, 0, "%s", (text,), None))


def shown(value):
    """A value as text, whatever its own `__str__` does."""
    try:
        return "%s: %s" % (type(value).__name__, value) if isinstance(value, BaseException) else str(value)
    except Exception as error:
        return "a %s, whose text cannot be had: %s" % (type(value).__name__, type(error).__name__)


#: The keys that plugins have registered with, as a text shows them.
_hidden = vars(logging.getLogger(NAME)).setdefault("hidden", [])

#: A shorter one may be any word.
SHORTEST_KEY = 8


def hide(key):
    """Has a key be left out of all that is told: the line that registers is in tracebacks."""
    if isinstance(key, str) and len(key) >= SHORTEST_KEY and key not in _hidden:
        _hidden.extend({key, repr(key)[1:-1]})


def plain(text):
    """Text that is UTF-8, without keys: a lone surrogate, as names of files have them, is written out."""
    text = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    for key in _hidden:
        text = text.replace(key, "[hidden]")
    return text


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


#: The process's handler, once there is one.
_handlers = vars(logging.getLogger(NAME)).setdefault("whole", [])


def keep(logger):
    """Has a plugin's logger tell the daemon by itself, whatever becomes of the root logger."""
    for handler in _handlers:
        logger.addHandler(handler)


def say(logger, level, words, *arguments):
    """Logs what the daemon itself has to say of a plugin, where the plugin has turned its logger off as well.
    """
    record = logger.makeRecord(logger.name, level, __file__, 0, words, arguments, None, "say")
    if logger.isEnabledFor(level):
        # By the logger, as a plugin may have handlers of its own.
        logger.handle(record)
    for handler in _handlers:
        handler.emit(record)


def start():
    """Puts the handler in the place of the worker's own on the root logger, whose level is Python's default.
    """
    root = logging.getLogger()
    below = [handler for handler in root.handlers if type(handler).__name__ == "ToDaemon"]
    if not below or hasattr(below[0], "is_whole"):
        return
    for handler in below:
        root.removeHandler(handler)
    begin_with(ToDaemon(below))


def begin_with(handler):
    """Has the root logger, whose level is Python's default, and all plugins' loggers have a handler."""
    _handlers[:] = [handler]
    root = logging.getLogger()
    root.addHandler(handler)
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
    begin_with(ToDaemon([Told(tell)]))
