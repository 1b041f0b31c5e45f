"""A worker: enters one project, then answers calls in order until it is told to end.

Runs on the standard library of CPython 3.7 and later. What it says is in frames on pipes of its own (`wire`); standard
output and error are the plugins'. Nothing here is on `sys.path` or in `sys.modules`, where a core or a plugin could take
it away.
"""

import os
import sys

PROTOCOL = 1

_parts = {}


def part(name):
    """The agent's module `name`, compiled when it is first asked for."""
    if name not in _parts:
        # The classes that it makes are called after it.
        module = _parts[name] = type(sys)("sgtk_host")
        module.part = part
        file = "<sgtk-host>/%s.py" % name
        exec(compile(PIECES[name + ".py"], file, "exec"), module.__dict__)
    return _parts[name]


def hello():
    """Says who this is: the first frame of every worker, forked or not."""
    wire = part("wire")
    python = list(sys.version_info[:3])
    wire.say({"hello": {"protocol": PROTOCOL, "pid": os.getpid(), "python": python, "executable": sys.executable}})


def work(request):
    """Enters the project that `request` describes and serves it. Returns the exit status."""
    wire = part("wire")
    wire.close("forks")
    wire.limit_frames(request.get("max_frame"))
    try:
        entered = part("project").enter(request)
    except BaseException as error:
        step = getattr(error, "worker_step", None) or part("project").step
        wire.say({"failed": {"step": step, "error": part("errors").describe(error)}})
        return 1
    wire.say({"entered": entered})
    return part("calls").serve()


def run():
    """From the first frame to the exit status."""
    wire = part("wire")
    hello()
    request = wire.next_request()
    if request is None:
        return 0
    if "template" in request:
        return part("template").serve(request["template"], hello, work)
    if "enter" in request:
        return work(request["enter"])
    if "end" in request:
        return 0
    raise RuntimeError("the first request is neither 'enter' nor 'template'")


def main():
    """Ends the process with the status of `run`: not by way of the interpreter's own end, which waits for every thread."""
    status = 70
    try:
        part("wire").take_over({"requests": 3, "answers": 4, "records": 5, "lifeline": 6, "forks": 7})
        status = run()
    except BaseException as error:
        part("errors").print_to_stderr("the worker cannot go on", error)
    part("calls").finish(status)


main()
