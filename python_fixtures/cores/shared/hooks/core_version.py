"""A hook that comes with the core: says which core it was loaded by and which one it gets when it imports
late.
"""

import sgtk

CORE_VERSION = "@VERSION@"


class CoreVersion(sgtk.Hook):
    """Run by `Sgtk.execute_core_hook("core_version")`."""

    def execute(self):
        from tank import late_b

        return {"hook": self.core_version, "sgtk": sgtk.__version__, "late": late_b.CORE_VERSION}
