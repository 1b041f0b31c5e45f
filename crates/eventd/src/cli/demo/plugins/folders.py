"""Runs on the Toolkit core of the event's own project: each project has another version."""

import sgtk


def registerCallbacks(reg):
    """Registers the callback for all changes of shots."""
    reg.registerCallback("plugins", "a-key-for-the-demo", make, {"Shotgun_Shot_Change": None})


def make(sg, logger, event, args):
    """Stands for the making of folders."""
    logger.info(
        "project %d: folders for %s by core %s",
        event["project"]["id"],
        event["entity"]["name"],
        sgtk.__version__,
    )
