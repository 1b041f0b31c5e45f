"""What a studio would do instead: a loop of its own, one event after the other through its plugin.

    python loop.py PLUGIN URL CURSOR

With a CURSOR file it says there after each event how far it is, so that nothing is lost where it ends.
Without, `-`, it is the floor: nothing but the client and the plugin's function.
"""

import importlib.util
import os
import sys
import time

import shotgun_api3

FIELDS = [
    "id",
    "event_type",
    "attribute_name",
    "meta",
    "entity",
    "user",
    "project",
    "session_uuid",
    "created_at",
]
ORDER = [{"field_name": "id", "direction": "asc"}]


class Registrar(object):
    """Takes what the plugin registers."""

    def registerCallback(self, name, key, function):
        self.client = shotgun_api3.Shotgun(sys.argv[2], name, key)
        self.function = function


def write(path, number):
    """In one step, as the machine may stop at any time."""
    with open(path + ".new", "w") as file:
        file.write("%d" % number)
    os.replace(path + ".new", path)


def main(path, url, cursor):
    spec = importlib.util.spec_from_file_location("plugin", path)
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    registrar = Registrar()
    plugin.registerCallbacks(registrar)
    site = registrar.client
    newest = site.find_one("EventLogEntry", [], ["id"], order=[{"field_name": "id", "direction": "desc"}])
    last = newest["id"]
    print("ready", flush=True)
    while True:
        events = site.find("EventLogEntry", [["id", "greater_than", last]], FIELDS, ORDER, limit=500)
        for event in events:
            registrar.function(site, None, event, None)
            last = event["id"]
            if cursor != "-":
                write(cursor, last)
        if not events:
            time.sleep(0.01)


main(*sys.argv[1:])
