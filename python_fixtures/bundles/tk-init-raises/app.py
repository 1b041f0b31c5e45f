"""An app that raises when it begins."""

import sgtk


class InitRaises(sgtk.platform.Application):
    """Is imported without an error."""

    def init_app(self):
        self.engine.register_command("of_a_failed_app", self.init_app)
        raise ValueError("this app does not begin")
