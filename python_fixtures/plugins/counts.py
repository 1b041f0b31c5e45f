"""Counts the events of each project, in a global of the module and in one that hangs on `sgtk`.

Hazard: where projects share a plugin's module, they share what it remembers.
"""

import sgtk

seen = {}


def registerCallbacks(reg):
    """Called by the daemon when it has loaded the file; all events are wanted."""
    reg.registerCallback("counts", "not-a-real-key", counts)


def counts(sg, logger, event, args):
    """Returns how many events of each project this copy of the plugin has seen: there should be one project.
    """
    seen[event["project"]] = seen.get(event["project"], 0) + 1
    sgtk.set_authenticated_user(event["project"])
    logger.debug("event %d: %s", event["id"], seen)
    return {"version": sgtk.__version__, "seen": dict(seen)}
