"""Imports more of the core when an event comes, long after the plugin was loaded.

Hazard: by then another project's core may be the one that an import finds.
"""

import sgtk


def registerCallbacks(reg):
    """Called by the daemon when it has loaded the file."""
    reg.registerCallback("late_import", "not-a-real-key", late_import, {"Shotgun_Shot_Change": None}, None)


def late_import(sg, logger, event, args):
    """Returns the versions that were baked into what it got; all of them must be the core's own."""
    from tank.late_a import VALUE
    from tank_vendor import shotgun_api3

    got = {"version": sgtk.__version__, "plugin": VALUE, "library": shotgun_api3.CORE_VERSION}
    got.update(sgtk.util.late())
    wrong = sorted(name for name, version in got.items() if version != sgtk.__version__)
    if wrong:
        raise RuntimeError("%s got another core's: %s" % (event["project"], ", ".join(wrong)))
    logger.info("event %d: late imports of %s", event["id"], sgtk.__version__)
    return got
