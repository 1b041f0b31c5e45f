"""Says which shot has got which status. A plugin as for shotgunEvents: nothing of this daemon is in it."""


def registerCallbacks(reg):
    """Registers the callback for changes of a shot's status."""
    reg.registerCallback("plugins", "a-key-for-the-demo", note, {"Shotgun_Shot_Change": ["sg_status_list"]})


def note(sg, logger, event, args):
    """Logs the change, with what the site knows of the shot."""
    shot = sg.find_one("Shot", [["id", "is", event["entity"]["id"]]], ["code", "project"])
    logger.info("%s has set %s to %s", event["user"]["name"], shot["code"], event["meta"]["new_value"])
