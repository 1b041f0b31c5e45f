"""An engine that can't be destroyed in an orderly way."""

import sgtk


class DestroyRaises(sgtk.platform.Engine):
    """Its core believes that it runs forever."""

    def destroy_engine(self):
        raise sgtk.TankError("%s: this engine does not end" % sgtk.CORE_VERSION)
