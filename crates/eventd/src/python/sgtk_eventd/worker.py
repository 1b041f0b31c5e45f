"""What every worker of the daemon does before its first work."""

import gc
import os
import socket
import sys

from . import records

#: What a client raises where the site, or the way to it, is at fault, by the names of its classes: the
#: client's own copies of libraries have such classes too. And what a configuration raises that is being
#: written.
AWAY = (
    "MissingSectionHeaderError",
    "NoOptionError",
    "NoSectionError",
    "ParsingError",
    "OSError",
    "ProtocolError",
    "ResponseError",
    "HttpLib2Error",
    "HTTPException",
    "JSONDecodeError",
    "NotTheSites",
)


class NotTheSites(Exception):
    """What came for an answer is not the site's: a proxy's page, say."""


def is_away(error):
    """Whether it may be well in a while, as the site or the way to it is at fault."""
    return any(kind.__name__ in AWAY for kind in type(error).__mro__)


def asked(question, *arguments, **options):
    """What a client's function gives. The client takes whatever comes for an answer, and fails on it later.
    """
    try:
        return question(*arguments, **options)
    except Exception as error:
        # Its own class by itself, without what the site refuses, is one for a site that says no version.
        plain = type(error).__name__ == "ShotgunError"
        if not plain and not isinstance(error, (AttributeError, KeyError, TypeError)):
            raise
        words = "what came cannot be read (%s: %s)"
        raise NotTheSites(words % (type(error).__name__, error)) from error


def start(setup):
    """Logging, sockets, `sys.path`. May be called again."""
    records.start()
    socket.setdefaulttimeout(setup.get("socket_timeout"))
    for name, value in (setup.get("variables") or {}).items():
        os.environ.setdefault(name, value)
    for folder in reversed(setup.get("python_paths") or ()):
        if folder not in sys.path:
            sys.path.insert(0, folder)


def client_module():
    """The site's client, imported without a look for garbage meanwhile: what an import makes stays. It counts
    as old afterwards, or the first look would be at all of it: a tenth of the time until the first event.
    """
    if "shotgun_api3" in sys.modules or not gc.isenabled():
        import shotgun_api3

        return shotgun_api3
    gc.disable()
    try:
        import shotgun_api3
    finally:
        # Both only join lists. What somebody has frozen stays so.
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()
        gc.enable()
    return shotgun_api3
