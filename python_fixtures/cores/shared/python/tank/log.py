"""Logging.

Hazards: the logger `sgtk` outlives every core, so each import adds one more handler to it; it stops
propagating, and its level changes for the whole process; the log file that one core ends and the next one
takes over is not closed, so that every exchange of cores costs a descriptor.
"""

import logging
import os
from logging.handlers import RotatingFileHandler

from . import constants

CORE_VERSION = "@VERSION@"


class CoreHandler(logging.NullHandler):
    """Swallows records; says which core put it there."""

    core_version = CORE_VERSION


class LogFileHandler(RotatingFileHandler):
    """Writes records to the log file."""

    core_version = CORE_VERSION


class LogManager(object):
    """Hands out loggers below `sgtk`; one for each core."""

    _instance = None

    def __new__(cls):
        if cls._instance is None:
            cls._instance = super(LogManager, cls).__new__(cls)
            cls._instance.root_logger = logging.getLogger(constants.ROOT_LOGGER)
            cls._instance.base_file_handler = None
            cls._instance.log_file = None
            cls._instance._ended = []
        return cls._instance

    @staticmethod
    def get_logger(name):
        """The logger of the module `name` (`tank.util` logs as `sgtk.core.util`), or of a bundle
        (`env.name`).
        """
        if name.startswith("env."):
            return logging.getLogger("%s.%s" % (constants.ROOT_LOGGER, name))
        return logging.getLogger("%s.core.%s" % (constants.ROOT_LOGGER, name.partition(".")[2] or name))

    def initialize_custom_handler(self, handler=None):
        """Adds a handler for all that Toolkit logs; standard error's where none is given."""
        handler = handler or logging.StreamHandler()
        handler.setLevel(logging.INFO)
        self.root_logger.addHandler(handler)
        return handler

    def initialize_base_file_handler(self, name):
        """Begins a log file of that name."""
        from .util import filesystem

        return self.initialize_base_file_handler_from_path(
            os.path.join(filesystem.home(), "logs", name + ".log")
        )

    def initialize_base_file_handler_from_path(self, path):
        """Begins a log file, and returns the one before it."""
        before = self.uninitialize_base_file_handler()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.log_file = path
        self.base_file_handler = LogFileHandler(path, maxBytes=5 << 20, backupCount=1, encoding="utf8")
        self.base_file_handler.setLevel(logging.INFO)
        self.root_logger.addHandler(self.base_file_handler)
        return before

    def uninitialize_base_file_handler(self):
        """Ends the log file, but for closing it, and returns its path."""
        if self.base_file_handler is None:
            return None
        path, self.log_file = self.log_file, None
        self.root_logger.removeHandler(self.base_file_handler)
        self._ended.append(self.base_file_handler)
        self.base_file_handler = None
        return path


_root = logging.getLogger(constants.ROOT_LOGGER)
_root.propagate = False
_root.setLevel(logging.DEBUG)
_root.addHandler(CoreHandler())
