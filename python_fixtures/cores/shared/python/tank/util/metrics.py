"""What is used how often, told to the site by a thread.

Hazards: the thread asks the site for its version at once, for itself, so where the site is gone it ends in a
traceback on standard error; nobody waits for its end; a session of the site's stays behind in the connection.
"""

import collections
import json
import threading
import urllib.request

CORE_VERSION = "@VERSION@"

queue = collections.deque(maxlen=100)


class MetricsDispatcher(object):
    """Starts and stops the thread of an engine."""

    def __init__(self, engine):
        self._engine = engine
        self._worker = None

    def start(self):
        """Starts the thread, if there is a user."""
        from ..api import get_authenticated_user

        if get_authenticated_user() is not None:
            self._worker = MetricsDispatchWorkerThread(self._engine)
            self._worker.start()

    def stop(self):
        """Tells the thread to end."""
        if self._worker is not None:
            self._worker.halt()
            self._worker = None


class MetricsDispatchWorkerThread(threading.Thread):
    """Sends what is in the queue, every now and then."""

    # Seconds. The real one waits for 5; tests need not.
    DISPATCH_INTERVAL = 0.1

    core_version = CORE_VERSION

    def __init__(self, engine):
        super(MetricsDispatchWorkerThread, self).__init__()
        self.daemon = True
        self.dispatched = 0
        self._engine = engine
        self._halt_event = threading.Event()

    def run(self):
        """Until it is told to end."""
        connection = self._engine.shotgun
        connection.server_caps
        while not self._halt_event.is_set():
            try:
                while queue:
                    self._dispatch(connection, queue.popleft())
            except Exception:
                pass
            self._halt_event.wait(self.DISPATCH_INTERVAL)

    def halt(self):
        """Tells it to end."""
        self._halt_event.set()

    def _dispatch(self, connection, metric):
        body = {"auth_args": {"session_token": connection.get_session_token()}, "metrics": [metric]}
        url = "%s://%s/api3/track_metrics/" % (connection.config.scheme, connection.config.server)
        request = urllib.request.Request(
            url, json.dumps(body).encode("utf-8"), {"Content-Type": "application/json"}
        )
        # By no proxy of the environment: the site is on this machine.
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()
        self.dispatched += 1
