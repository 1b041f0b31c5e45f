"""Code that an app loads when it needs it."""

from . import helper


def versions():
    """The core that each part got when it was loaded, and that an import in a function gets."""
    told = helper.versions()
    import tank.late_c

    told["payload"] = tank.late_c.CORE_VERSION
    return told
