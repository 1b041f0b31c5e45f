"""The studio's `shotgunEventDaemon.conf`, read as shotgunEvents reads it: by ConfigParser, the environment as
defaults.
"""

import configparser
import os


class Configuration(configparser.ConfigParser):
    """The parser that plugins find as `logger.config`, with the questions that they may ask it by name."""

    def __init__(self, path):
        super(Configuration, self).__init__(os.environ)
        self.path = path
        with open(path, encoding="utf-8") as file:
            self.read_file(file, path)

    def text(self, section, key, default=None):
        """The value of a key, or the default where it is not there."""
        return self.get(section, key) if self.has_option(section, key) else default

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

    def getPluginPaths(self):
        """The folders of plugins."""
        return [part.strip() for part in self.get("plugins", "paths").split(",")]

    def getLogLevel(self):
        """The level of loggers, as a number."""
        return self.getint("daemon", "logging")

    def getLogMode(self):
        """0 for one log file, 1 for one a plugin."""
        return self.getint("daemon", "logMode")


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
    """The values of the file: `{section: {key: value or {"error": text}}}`.

    `wanted` names the keys of each section that may come out of the environment, as in shotgunEvents; others
    are told only where the file itself has them.
    """
    parser = configuration(path)
    told = {}
    for section in parser.sections():
        keys = [key.lower() for key in wanted.get(section, ())]
        # As they are in the file, without the environment.
        own = list(parser._sections[section])
        values = told[section] = {}
        for key in dict.fromkeys(own + keys):
            if not parser.has_option(section, key):
                continue
            try:
                values[key] = parser.get(section, key)
            except configparser.Error as error:
                values[key] = {"error": " ".join(str(error).split())}
    return told
