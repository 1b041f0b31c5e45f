"""Project code has no terminal: neither its children nor it itself is to wait for somebody who types."""

import builtins
import functools
import getpass
import io
import os
import subprocess
import sys

# There when this is loaded: `unattended_variables` of `unattended.py`, `is_projects`, whether the code that
# is running is a project's, and `started`, called with the number of each process that a project's code has
# started.


def asks_nobody(original):
    @functools.wraps(original)
    def ask(*args, **kwargs):
        if is_projects():
            raise EOFError("project code of a daemon has nobody to ask")
        return original(*args, **kwargs)

    return ask


class _Nothing(io.TextIOWrapper):
    """Standard input that is at its end. All projects have the same, so none of them closes it."""

    def close(self):
        pass


nothing = _Nothing(open(os.devnull, "rb"), encoding="utf-8")


def unattended(environment):
    """The environment, a child's, with what keeps git and ssh from asking. What it says on these stays."""
    environment = dict(environment)
    as_bytes = any(isinstance(name, bytes) for name in environment)
    known = {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}
    for name, value in unattended_variables(known).items():
        environment.pop(os.fsencode(name), None)
        environment.pop(name, None)
        environment[os.fsencode(name) if as_bytes else name] = os.fsencode(value) if as_bytes else value
    return environment


_popen_init = subprocess.Popen.__init__


@functools.wraps(_popen_init)
def popen_init(self, *args, **kwargs):
    if is_projects():
        # The fourth argument after `args`, `bufsize` and `executable`.
        if len(args) < 4 and kwargs.get("stdin") is None:
            kwargs["stdin"] = subprocess.DEVNULL
        if os.name == "posix" and len(args) < 16 and kwargs.get("process_group") in (None, -1):
            # Else it could open the terminal of the daemon's session.
            kwargs.setdefault("start_new_session", True)
        # Not part of the project's environment, as each would make every turn longer.
        if len(args) < 11:
            kwargs["env"] = unattended(os.environ if kwargs.get("env") is None else kwargs["env"])
        _popen_init(self, *args, **kwargs)
        started(self.pid)
    else:
        _popen_init(self, *args, **kwargs)


_system = os.system


@functools.wraps(_system)
def system(command):
    if os.name != "posix" or not is_projects():
        return _system(command)
    sys.audit("os.system", command)
    return _system_without_terminal(os.fsencode(command))


def _system_without_terminal(command):
    """C's `system` with no standard input, in a session of its own. Returns the status of `wait`."""
    try:
        status = subprocess.Popen(
            [b"/bin/sh", b"-c", command], stdin=subprocess.DEVNULL, start_new_session=True
        ).wait()
    except OSError:
        return 127 << 8
    # As `wait` has it: the number of a signal, or an exit status.
    return -status if status < 0 else status << 8


def install():
    builtins.input = asks_nobody(builtins.input)
    getpass.getpass = asks_nobody(getpass.getpass)
    subprocess.Popen.__init__ = popen_init
    os.system = system
    if hasattr(sys.modules.get("posix"), "system"):
        sys.modules["posix"].system = system
