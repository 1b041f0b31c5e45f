"""A module that needs its core as soon as it is loaded."""

import sgtk
from tank import errors

AT_IMPORT = sgtk.CORE_VERSION


def versions():
    """The core that this module got when it was loaded, and that an import in a function gets."""
    import sgtk as late

    return {"at import": AT_IMPORT, "errors": errors.CORE_VERSION, "late": late.CORE_VERSION}
