"""The studio's `shotgunEventDaemon.conf`, read as shotgunEvents reads it: by ConfigParser, the environment as
defaults.
"""

import configparser
import os
import re


class Configuration(configparser.ConfigParser):
    """The parser that plugins find as `logger.config`, with the questions that they may ask it by name."""

    def __init__(self, path):
        super(Configuration, self).__init__()
        self.path = path
        # Editors on Windows begin files with a byte order mark.
        with open(path, encoding="utf-8-sig") as file:
            self.read_file(file, path)
        #: The keys of the file's own `[DEFAULT]`, which come before the environment.
        self.own_defaults = set(self.defaults())
        # Not by the constructor, which takes `http_proxy` beside `HTTP_PROXY` for a mistake.
        environment = {self.optionxform(name): value for name, value in os.environ.items()}
        for name, value in environment.items():
            self.defaults().setdefault(name, value)

    def text(self, section, key, default=None):
        """The value of a key, or the default where it is not there."""
        return self.get(section, key) if self.has_option(section, key) else default

    def _folders(self, section, key):
        return [part.strip() for part in self.get(section, key).split(",")]

    def getShotgunURL(self):
        """The site."""
        return self.get("shotgun", "server")

    def getEngineScriptName(self):
        """The daemon's own script user."""
        return self.get("shotgun", "name")

    def getEngineScriptKey(self):
        """The key of that user."""
        return self.get("shotgun", "key")

    def getEngineProxyServer(self):
        """The proxy, or None."""
        return (self.text("shotgun", "proxy_server") or "").strip() or None

    def getEventIdFile(self):
        """The id file."""
        return self.get("daemon", "eventIdFile")

    def getEnginePIDFile(self):
        """The file with the daemon's process id."""
        return self.get("daemon", "pidFile")

    def getPluginPaths(self):
        """The folders of plugins."""
        return self._folders("plugins", "paths")

    def getSMTPEnabled(self):
        """Whether errors are mailed."""
        return self.getboolean("emails", "enabled")

    def getSMTPServer(self):
        """The mail server."""
        return self.get("emails", "server")

    def getSMTPPort(self):
        """Its port."""
        return self.getint("emails", "port", fallback=25)

    def getFromAddr(self):
        """Whom mails are from."""
        return self.get("emails", "from")

    def getToAddrs(self):
        """Whom errors are mailed to."""
        return self._folders("emails", "to")

    def getEmailSubject(self):
        """What the subjects of mails begin with."""
        return self.get("emails", "subject")

    def getEmailUsername(self):
        """The user at the mail server, or None."""
        return self.text("emails", "username")

    def getEmailPassword(self):
        """The user's password, or None."""
        return self.text("emails", "password")

    def getSecureSMTP(self):
        """Whether mails are encrypted on their way."""
        return self.getboolean("emails", "useTLS", fallback=False)

    def getLogLevel(self):
        """The level of loggers, as a number."""
        return self.getint("daemon", "logging")

    def getLogMode(self):
        """0 for one log file, 1 for one a plugin."""
        return self.getint("daemon", "logMode")

    def getMaxEventBatchSize(self):
        """How many events are asked for at once."""
        return self.getint("daemon", "max_event_batch_size", fallback=500)

    def getLogFile(self, filename=None):
        """The path of a log file; without a name that of the daemon's own."""
        name = self.get("daemon", "logFile") if filename is None else filename
        return os.path.join(self.text("daemon", "logPath") or "", name)

    def getTimingLogFile(self):
        """The path of the log of times, or None."""
        return self.getLogFile() + ".timing" if self.text("daemon", "timing_log") == "on" else None


#: The parsers by path and the time of the file.
_read = {}


def configuration(path):
    """The parser of a file, read again where the file has changed."""
    found = os.stat(path)
    stamp = (found.st_mtime_ns, found.st_size)
    if path not in _read or _read[path][0] != stamp:
        _read[path] = stamp, Configuration(path)
    return _read[path][1]


def read(path, wanted):
    """The values of the file, `"sections": {section: {key: value or {"error": text}}}`; the keys of its
    `[DEFAULT]`, which all sections have; and `"inherited": [[section, key]]`, which came out of the
    environment. Or `{"problem": text}`, where the file cannot be read.

    `wanted` names the keys of each section that may come out of the environment, as in shotgunEvents; others
    are told only where the file itself has them.
    """
    try:
        parser = configuration(path)
    except (configparser.Error, UnicodeDecodeError) as error:
        return {"problem": told(error, path)}
    sections, inherited, defaults = {}, [], sorted(parser.own_defaults)
    for section in parser.sections():
        # As they are in the file, without the environment.
        own = list(parser._sections[section]) + defaults
        keys = [key.lower() for key in wanted.get(section, ())]
        known = [key for key in dict.fromkeys(own + keys) if parser.has_option(section, key)]
        sections[section] = {key: value_of(parser, section, key) for key in known}
        inherited.extend([section, key] for key in known if key not in own)
    return {"sections": sections, "defaults": defaults, "inherited": inherited}


def value_of(parser, section, key):
    """A value, or why there is none: without the value itself, which may be a secret."""
    try:
        return parser.get(section, key)
    except configparser.InterpolationMissingOptionError as error:
        names = re.findall(r"%\(([^)]+)\)s", parser.get(section, key, raw=True))
        name = next((name for name in names if name.lower() == error.reference), error.reference)
        reason = "%%(%s)s: there is no such variable in the environment, and no such key" % name
    except configparser.InterpolationSyntaxError:
        reason = "a percent sign has to be written twice, %%, or to begin %(NAME)s"
    except configparser.InterpolationDepthError:
        reason = "what it refers to by %(NAME)s refers back to it"
    except configparser.Error as error:
        reason = "it cannot be read: %s" % type(error).__name__
    return {"error": reason}


def told(error, path):
    """What is wrong with the file, without its lines, which may have secrets in them."""
    if isinstance(error, UnicodeDecodeError):
        with open(path, "rb") as file:
            lines = file.read().splitlines()
        for number, line in enumerate(lines, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return "line %d is not UTF-8: the file has to be saved as such" % number
        return "it is not UTF-8: the file has to be saved as such"
    if isinstance(error, configparser.MissingSectionHeaderError):
        return "line %d comes before the first section, such as [daemon]" % error.lineno
    if isinstance(error, configparser.DuplicateOptionError):
        words = "line %s: the key %s of [%s] is there a second time"
        return words % (error.lineno, error.option, error.section)
    if isinstance(error, configparser.DuplicateSectionError):
        return "line %s: the section [%s] is there a second time" % (error.lineno, error.section)
    if isinstance(error, configparser.ParsingError):
        numbers = ", ".join(str(number) for number, _ in error.errors)
        return "line %s: neither a section, nor a key with a value, nor a comment" % numbers
    return "%s: %s" % (type(error).__name__, " ".join(str(error).split()))
