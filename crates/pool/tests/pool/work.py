"""What the pool's tests call."""

import os
import time

calls = []


def echo(value=None):
    return value


def pid():
    return os.getpid()


def note(value):
    """Remembers the order of calls."""
    calls.append(value)
    return list(calls)


def noted():
    return list(calls)


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def size(value):
    return len(value)


def die(signal=9):
    os.kill(os.getpid(), signal)
    time.sleep(60)


def leave(status):
    print("about to leave")
    os._exit(status)


def fail(text):
    raise ValueError(text)


def wait_for(path):
    """Until the file is there."""
    while not os.path.exists(path):
        time.sleep(0.002)
    return True


def sign(path, gate=None):
    """Makes a file, and waits for another."""
    with open(path, "w") as stream:
        stream.write(str(os.getpid()))
    return wait_for(gate) if gate else True


def about(sgtk, tank=None):
    return {"version": sgtk.__version__, "pc": os.environ.get("TANK_CURRENT_PC")}


def grow(megabytes):
    calls.append(b"x" * (megabytes << 20))
    return len(calls)


def record(path, thread, number):
    """Adds a line to a file, at once."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b"%d %d\n" % (thread, number))
    os.close(descriptor)
    return [thread, number]


def start_child():
    """A grandchild of the daemon that holds the pipes, and does not end by itself."""
    import subprocess

    return subprocess.Popen(["sleep", "600"], close_fds=False).pid
