"""Project code has no terminal: neither its children nor it itself is to wait for somebody who types."""

import builtins
import functools
import getpass
import io
import os
import select
import subprocess
import sys

try:
    import fcntl
    import termios
except ImportError:
    # Not on Windows, where nothing forks.
    pass

# There when this is loaded: `opens`, which wraps a function that opens files, `unattended_variables` of
# `unattended.py`, `is_projects`, whether the code that is running is a project's, `started`, called with the
# number of each process that a project's code has started, and `in_child`, called in each that it has forked.


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


def reads(original):
    @functools.wraps(original)
    def read(fd, length):
        if fd == 0 and is_projects():
            return b""
        return original(fd, length)

    return read


def duplicates(original):
    @functools.wraps(original)
    def dup(fd):
        if fd == 0 and is_projects():
            return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        return original(fd)

    return dup


def is_terminal(original):
    @functools.wraps(original)
    def isatty(fd):
        return not (fd == 0 and is_projects()) and original(fd)

    return isatty


def selects(original):
    """A standard input that is at its end can always be read."""

    def is_input(one):
        try:
            return (one if isinstance(one, int) else one.fileno()) == 0
        except Exception:
            # It is told by the function itself.
            return False

    @functools.wraps(original)
    def select(rlist, wlist, xlist, timeout=None):
        if not is_projects():
            return original(rlist, wlist, xlist, timeout)
        rlist = list(rlist)
        ended = [one for one in rlist if is_input(one)]
        if not ended:
            return original(rlist, wlist, xlist, timeout)
        others = [one for one in rlist if not is_input(one)]
        found, writable, exceptional = original(others, wlist, xlist, 0)
        return [one for one in rlist if one in ended or one in found], writable, exceptional

    return select


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
        if len(args) < 4 and kwargs.get("stdin") in (None, 0):
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


def forks(original, has_terminal=False):
    """A function that forks; `has_terminal` where it gives the child one of its own."""

    @functools.wraps(original)
    def fork():
        if not is_projects():
            return original()
        forked = original()
        pid = forked[0] if has_terminal else forked
        if pid:
            started(pid)
        else:
            begin_child(has_terminal)
        return forked

    return fork


_open = os.open


def leave_terminal():
    """Of this process alone: its group stays its parent's, which may wait for it, or end, by group."""
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    try:
        terminal = _open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return
    try:
        fcntl.ioctl(terminal, termios.TIOCNOTTY)
    finally:
        os.close(terminal)


def begin_child(has_terminal):
    try:
        if not has_terminal:
            leave_terminal()
        in_child()
        os.environ.update(unattended_variables(os.environ))
    except BaseException as error:
        os.write(2, ("a process that project code has forked cannot go on: %s\n" % error).encode())
        os._exit(70)


def spawns(original):
    """`posix_spawn` and its like."""

    @functools.wraps(original)
    def spawn(path, argv, env, *args, **kwargs):
        if not is_projects():
            return original(path, argv, env, *args, **kwargs)
        nothing_to_read = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        kwargs["file_actions"] = (nothing_to_read, *(kwargs.get("file_actions") or ()))
        env = unattended(env)
        if "setsid" in kwargs or "setpgroup" in kwargs:
            pid = original(path, argv, env, *args, **kwargs)
        else:
            try:
                pid = original(path, argv, env, *args, setsid=True, **kwargs)
            except NotImplementedError:
                pid = original(path, argv, env, *args, **kwargs)
        started(pid)
        return pid

    return spawn


def executes(original):
    """What `multiprocessing` starts its processes with. Its arguments have places: the environment the sixth,
    standard input the seventh, a session of its own the 16th.
    """

    @functools.wraps(original)
    def fork_exec(*args):
        if sys._getframe(1).f_globals.get("__name__") == "subprocess" or not is_projects():
            return original(*args)
        args, empty = list(args), None
        environment = os.environ if args[5] is None else dict(entry.split(b"=", 1) for entry in args[5])
        environment = unattended(environment)
        args[5] = [os.fsencode(name) + b"=" + os.fsencode(value) for name, value in environment.items()]
        if args[6] == -1:
            args[6] = empty = os.open(os.devnull, os.O_RDONLY)
        args[15] = True
        try:
            pid = original(*args)
        finally:
            if empty is not None:
                os.close(empty)
        started(pid)
        return pid

    return fork_exec


def install():
    builtins.input = asks_nobody(builtins.input)
    getpass.getpass = asks_nobody(getpass.getpass)
    subprocess.Popen.__init__ = popen_init
    os.system = system
    io.open = builtins.open = opens(builtins.open)
    select.select = selects(select.select)
    wrapped = {"system": system}
    for name, wrap in (
        ("open", opens),
        ("read", reads),
        ("dup", duplicates),
        ("isatty", is_terminal),
        ("fork", forks),
        ("forkpty", functools.partial(forks, has_terminal=True)),
        ("posix_spawn", spawns),
        ("posix_spawnp", spawns),
    ):
        if hasattr(os, name):
            original = getattr(os, name)
            wrapped[name] = wrap(original)
            setattr(os, name, wrapped[name])
            # `shutil` asks here whether it can remove folders without following links that appear meanwhile.
            for can in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
                if original in can:
                    can.add(wrapped[name])
    for name, function in wrapped.items():
        if hasattr(sys.modules.get("posix"), name):
            setattr(sys.modules["posix"], name, function)
    starts = sys.modules.get("_posixsubprocess")
    if starts is not None:
        starts.fork_exec = executes(starts.fork_exec)
