"""Says for each new version which core handles it.

Hazard: `import sgtk` at the top runs once, when the daemon loads its plugins, and binds one project's core
for all.
"""

import sgtk


def registerCallbacks(reg):
    """Called by the daemon when it has loaded the file."""
    reg.registerCallback(
        "report_core",
        "not-a-real-key",
        report_core,
        {"Shotgun_Version_New": None, "Shotgun_Version_Change": ["*"]},
        None,
    )


def report_core(sg, logger, event, args):
    """Logs and returns the core's version and where it lies."""
    told = {
        "project": event["project"],
        "version": sgtk.__version__,
        "core": sgtk.__file__,
        "library": sgtk.util.shotgun.API_VERSION,
    }
    logger.info("event %d: %s runs %s", event["id"], told["project"], told["version"])
    return told
