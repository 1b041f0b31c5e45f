"""What a bench of bootstraps is measured against, in plain Python.

Arguments: the way, the `python` folder of the core to start from, the site, the script's name and key, how
many calls to the site a bootstrap makes, how many turns are not timed and how many are, and for each project
`id=python folder of its core`. Turns take the projects one after another. Prints how long the timed ones
took, in nanoseconds.
"""

# What a daemon has loaded anyway, the host's as well, is not a core's to count.
import gc
import logging
import os
import sys
import threading
import time
import typing

WAY, START, SITE, SCRIPT, KEY, CALLS, UNTIMED, TIMED = sys.argv[1:9]
PROJECTS = [(int(number), core) for number, core in (project.split("=", 1) for project in sys.argv[9:])]


def document(turn):
    """The document's second listing, line by line: with its first import in the first turn, and the next
    project after.
    """
    number, _ = PROJECTS[turn % len(PROJECTS)]
    start = time.perf_counter_ns()
    if turn == 0:
        sys.path.insert(0, START)
    import sgtk

    sa = sgtk.authentication.ShotgunAuthenticator()
    user = sa.create_script_user(api_script=SCRIPT, api_key=KEY, host=SITE)
    sgtk.set_authenticated_user(user)
    mgr = sgtk.bootstrap.ToolkitManager(sg_user=user)
    mgr.plugin_id = "basic."
    engine = mgr.bootstrap_engine("tk-shell", entity={"type": "Project", "id": number})
    import sgtk

    assert engine.context.project["id"] == number
    bootstrapped = time.perf_counter_ns()
    engine.destroy()
    # Of a first bootstrap, the end is not measured.
    return (bootstrapped if int(UNTIMED) == 0 else time.perf_counter_ns()) - start


def floor(turn):
    """Imports both cores, one after the other, and makes as many calls to the site; nothing else."""
    _, own = PROJECTS[turn % len(PROJECTS)]
    took = 0
    for folder in (START, own):
        path, finders = sys.path[:], sys.meta_path[:]
        start = time.perf_counter_ns()
        sys.path.insert(0, folder)
        import sgtk

        took += time.perf_counter_ns() - start
        assert os.path.dirname(os.path.dirname(os.path.abspath(sgtk.__file__))) == folder
        del sgtk
        forget(path, finders)
    start = time.perf_counter_ns()
    call_site(int(CALLS))
    return took + time.perf_counter_ns() - start


def forget(path, finders):
    """Takes a core out, so that the next one is imported whole."""
    tops = ("tank", "sgtk", "shotgun_api3", "yaml")
    for name in [name for name in sys.modules if name.partition(".")[0] in tops or name.startswith("tank")]:
        del sys.modules[name]
    sys.path[:], sys.meta_path[:] = path, finders
    vars(sys).pop("_tank_vendor_meta_finder", None)
    os.environ.pop("TANK_CURRENT_PC", None)
    for name in [name for name in logging.Logger.manager.loggerDict if name.startswith("sgtk")]:
        del logging.Logger.manager.loggerDict[name]
    for clear in typing._cleanups:
        clear()
    gc.collect()


def call_site(times):
    """Calls over one connection, as the client makes them."""
    import http.client
    import json

    connection = http.client.HTTPConnection(SITE.rpartition("/")[2])
    for _ in range(times):
        body = json.dumps({"method_name": "info", "params": []}).encode("utf-8")
        connection.request("POST", "/api3/json", body, {"content-type": "application/json; charset=utf-8"})
        assert "version" in json.loads(connection.getresponse().read().decode("utf-8"))
    connection.close()


turns = [{"document": document, "floor": floor}[WAY](turn) for turn in range(int(UNTIMED) + int(TIMED))]
print(sum(turns[int(UNTIMED) :]))
