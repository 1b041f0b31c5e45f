"""A plugin that does nothing, and tells of the last event that it has not done."""

import os
import socket


def registerCallbacks(reg):
    reg.registerCallback("plugin", "a-plugins-key", note)


def note(sg, logger, event, args):
    if event["event_type"] == "Last":
        socket.create_connection(("127.0.0.1", int(os.environ["EVENTS_BENCH_PORT"]))).close()
