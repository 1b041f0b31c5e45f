"""An engine that waits for `fixture_gate.proceed` when it begins; in between it hears what is raised in its
thread.
"""

import fixture_gate
import sgtk


class InitHangs(sgtk.platform.Engine):
    """A good engine then."""

    def init_engine(self):
        fixture_gate.entered.set()
        while not fixture_gate.proceed.wait(0.05):
            pass
