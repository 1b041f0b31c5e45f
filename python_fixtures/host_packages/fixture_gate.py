"""Lets a test stop the import of a core (`Broken::Hangs`) or of its module `tank.late_gated`, and let it go
on.
"""

import threading

#: Set by the core once its import has come this far.
entered = threading.Event()
#: Waited for by the core.
proceed = threading.Event()


def reset():
    """For another round."""
    entered.clear()
    proceed.clear()
