"""An engine that cleans nothing up."""

import atexit
import logging
import os
import sys
import threading

import sgtk

ended = threading.Event()


class Finder(object):
    """Finds nothing."""

    def find_spec(self, fullname, path=None, target=None):
        return None


class LeavesTraces(sgtk.platform.Engine):
    """Leaves a thread, a timer, handlers, an open file, environment variables, a finder, paths, a function
    for the end.
    """

    def init_engine(self):
        def work():
            while not ended.wait(0.01):
                from tank import late_d

                late_d.CORE_VERSION

        threading.Thread(target=work, name="left by tk-leaves-traces", daemon=True).start()
        timer = threading.Timer(3600, work)
        timer.daemon = True
        timer.start()
        handler = logging.StreamHandler()
        logging.getLogger().addHandler(handler)
        logging.getLogger("sgtk.env.tk-leaves-traces").addHandler(handler)
        self.file = open(__file__)
        os.environ["TK_FIXTURE_TRACE"] = sgtk.CORE_VERSION
        sys.meta_path.append(Finder())
        sys.path.append(os.path.dirname(__file__))
        sys.fixture_trace = self
        atexit.register(ended.set)
