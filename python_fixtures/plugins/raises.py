"""Fails for events about assets: the daemon reports it and goes on."""

import sgtk


def registerCallbacks(reg):
    """Called by the daemon when it has loaded the file."""
    reg.registerCallback("raises", "not-a-real-key", raises, {"Shotgun_Asset_Change": None}, None)


def raises(sg, logger, event, args):
    """Raises the `TankError` of the project's own core."""
    raise sgtk.TankError("%s: no asset %s" % (sgtk.__version__, event["entity"]["id"]))
