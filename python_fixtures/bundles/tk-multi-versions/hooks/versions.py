"""A hook of the app; loaded when it is first run."""

import sgtk


class Versions(sgtk.get_hook_baseclass()):
    """Tells which core it gets."""

    def late(self):
        from tank import late_b

        return late_b.CORE_VERSION
