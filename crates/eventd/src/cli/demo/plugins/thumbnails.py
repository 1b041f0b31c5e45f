"""Takes its time for each new version, and delays nobody else: each plugin has a lane of its own here."""

import time


def registerCallbacks(reg):
    """Registers the callback for new versions."""
    reg.registerCallback("plugins", "a-key-for-the-demo", make, {"Shotgun_Version_New": None})


def make(sg, logger, event, args):
    """Stands for a renderer."""
    time.sleep(3)
    logger.info("made a thumbnail of %s", event["entity"]["name"])
