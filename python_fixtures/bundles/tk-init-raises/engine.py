"""An engine that starts a thread and raises then."""

import threading

import sgtk

leave = threading.Event()


class InitRaises(sgtk.platform.Engine):
    """Its thread waits for `leave`, which nobody sets."""

    def init_engine(self):
        threading.Thread(target=leave.wait, name="left by tk-init-raises", daemon=True).start()

    def post_app_init(self):
        raise sgtk.TankError("%s: this engine does not start" % sgtk.CORE_VERSION)
