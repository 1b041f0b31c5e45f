"""A worker: enters one project, then answers calls in order until it is told to end.

Runs on the standard library of CPython 3.7 and later. Its messages are frames on pipes of its own (`wire`);
standard output and error belong to the plugins. Nothing of it is on `sys.path` or in `sys.modules`, where a
core or a plugin could replace it.
"""

import gc
import os
import sys

PROTOCOL = 1

_parts = {}


def part(name):
    """The agent's module `name`, compiled on first use."""
    if name not in _parts:
        # The name that its classes have in messages.
        module = _parts[name] = type(sys)("sgtk_host")
        module.part = part
        exec(compiled(name), module.__dict__)
    return _parts[name]


def compiled(name):
    """The compiled code of a piece: as it is kept on disk, but for what it takes to look there."""
    source, file = PIECES[name + ".py"], "<sgtk-host>/%s.py" % name

    def compile_source():
        return compile(source, file, "exec")

    if name == "store":
        return compile_source()
    return part("store").kept(file, source.encode("utf-8"), compile_source)


def hello():
    """Sends the first frame of every worker, forked or not."""
    wire = part("wire")
    python = list(sys.version_info[:3])
    greeting = {"protocol": PROTOCOL, "pid": os.getpid(), "python": python, "executable": sys.executable}
    wire.send_message({"hello": greeting})


def work(request):
    """Enters the project that `request` describes and serves it. Returns the exit status."""
    wire = part("wire")
    wire.close("forks")
    wire.limit_frames(request.get("max_frame"))
    try:
        entered = part("project").enter(request)
    except BaseException as error:
        step = getattr(error, "worker_step", None) or part("project").step
        wire.send_message({"failed": {"step": step, "error": part("errors").describe(error)}})
        return 1
    wire.send_message({"entered": entered})
    return part("calls").serve()


def run():
    """Answers the first request. Returns the exit status."""
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
    """Ends the process with the status of `run`, without Python's own shutdown, which would wait for every
    thread.
    """
    status = 70
    # What is imported until the project's paths are there stays, and is not garbage.
    gc.disable()
    try:
        part("store").open_store(PIECES.get("code_cache"))
        part("wire").take_over({"requests": 3, "answers": 4, "records": 5, "lifeline": 6, "forks": 7})
        status = run()
    except BaseException as error:
        part("errors").print_to_stderr("the worker has failed", error)
    part("calls").finish(status)


main()
