"""Lets a test stop the import of a core (`Broken::Hangs`) and let it go on."""

import threading

#: Set by the core once its import has come this far.
entered = threading.Event()
#: Waited for by the core.
proceed = threading.Event()
