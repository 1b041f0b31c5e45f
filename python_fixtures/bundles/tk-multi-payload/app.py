"""An app whose commands load code by hand: `load` once as bundles do, `load_again` each time under a new
name.
"""

import sys
import threading

import sgtk

AT_IMPORT = sgtk.CORE_VERSION


class PayloadApp(sgtk.platform.Application):
    """Has the commands `load`, `load_again`, `log` and `start`."""

    def init_app(self):
        for command in (self.load, self.load_again, self.log_late, self.start):
            self.engine.register_command(command.__name__, command)

    def load(self):
        """The versions that the payload tells, which is loaded by the first call."""
        return self.import_module("payload").versions()

    def load_again(self):
        """The same, loaded anew and forgotten."""
        self._package = None
        versions = self.load()
        for name in [name for name in sys.modules if name.startswith(self._package)]:
            del sys.modules[name]
        self._package = None
        return versions

    def log_late(self, name, count):
        """Logs to a logger that is made by this call."""
        import logging

        for number in range(count):
            logging.getLogger("sgtk.late.%s.%d" % (name, number)).warning("%s", AT_IMPORT)

    def start(self, command, go):
        """Runs a command on a thread that waits for an event first. Gives the thread and a list for the
        outcome.
        """
        outcome = []

        def work():
            go.wait()
            try:
                outcome.append(command())
            except BaseException as error:
                outcome.append(repr(error))

        thread = threading.Thread(target=work, name="started by an app")
        thread.start()
        return thread, outcome
