"""An engine that waits for `fixture_gate.proceed` when it begins."""

import fixture_gate
import sgtk


class InitHangs(sgtk.platform.Engine):
    """A good engine then."""

    def init_engine(self):
        fixture_gate.entered.set()
        fixture_gate.proceed.wait()
