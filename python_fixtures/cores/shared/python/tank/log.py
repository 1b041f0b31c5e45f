"""Logging.

Hazards: the logger `sgtk` outlives every core, so each import adds one more handler to it; it stops propagating, and
its level changes for the whole process.
"""

import logging

from . import constants

CORE_VERSION = "@VERSION@"


class CoreHandler(logging.NullHandler):
    """Swallows records; says which core put it there."""

    core_version = CORE_VERSION


class LogManager(object):
    """Hands out loggers below `sgtk`; one for each core."""

    _instance = None

    def __new__(cls):
        if cls._instance is None:
            cls._instance = super(LogManager, cls).__new__(cls)
            cls._instance.root_logger = logging.getLogger(constants.ROOT_LOGGER)
        return cls._instance

    @staticmethod
    def get_logger(name):
        """The logger of the module `name` (`tank.util` logs as `sgtk.core.util`)."""
        return logging.getLogger("%s.core.%s" % (constants.ROOT_LOGGER, name.partition(".")[2] or name))


_root = logging.getLogger(constants.ROOT_LOGGER)
_root.propagate = False
_root.setLevel(logging.DEBUG)
_root.addHandler(CoreHandler())
