"""An engine without a screen.

Hazard: it adds a handler to a logger of its own, and takes it away when it is destroyed.
"""

import logging

import sgtk

AT_IMPORT = sgtk.CORE_VERSION


class ShellEngine(sgtk.platform.Engine):
    """Runs commands."""

    def init_engine(self):
        self.handler = logging.StreamHandler()
        logging.getLogger("tank.tk-shell").addHandler(self.handler)

    def destroy_engine(self):
        logging.getLogger("tank.tk-shell").removeHandler(self.handler)

    def execute_command(self, name, arguments=()):
        """Runs a command of an app."""
        return self.commands[name]["callback"](*arguments)
