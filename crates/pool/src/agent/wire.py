"""The descriptors of a worker, and the frames on them: a length of four bytes, little-endian, and that much JSON."""

import _json
import _signal
import fcntl
import os
import resource
import select
import sys

#: Bytes of a result, unless the daemon says otherwise.
MAX_FRAME = 64 << 20

#: Bytes in a message of the agent's own, errors among them, whatever the limit on results is. The daemon knows it, too.
OWN = 4 << 20

#: The pipes by name; -1 where there is none, as in a child that a plugin has forked.
descriptors = {}

#: Whether this is a process that a plugin has forked, and not the worker any more.
forked = False

#: Set while a template forks a worker, which is not to lose its pipes.
forking_worker = False

_max_frame = MAX_FRAME
_next_frame = None


class FrameTooLong(Exception):
    """A frame is longer than the limit."""


def take_over(numbers):
    """Makes the process a worker: its own group, signals as usual, and the pipes out of the plugins' way."""
    lead_group()
    default_signals()
    adopt(numbers)
    close_others(set(descriptors.values()))
    os.register_at_fork(after_in_child=_after_fork)
    buffer_lines()
    # What a crash in C code was doing goes to standard error, and so what a call was doing that had to be ended.
    import faulthandler

    faulthandler.enable(2, all_threads=False)
    faulthandler.register(_signal.SIGTERM, 2, all_threads=False, chain=True)


def lead_group():
    """Makes this process the leader of a group, unless it is one: Ctrl-C in the daemon's terminal is the daemon's."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)


def default_signals():
    """Undoes what was inherited: ignored signals would be so for all that a plugin starts, too."""
    for number in range(1, _signal.NSIG):
        if number in (_signal.SIGPIPE, getattr(_signal, "SIGXFSZ", None)):
            continue  # Python itself ignores those.
        if _signal.getsignal(number) == _signal.SIG_IGN:
            try:
                _signal.signal(number, _signal.SIG_DFL)
            except (OSError, ValueError):
                pass  # The C library's own.
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def adopt(numbers):
    """Takes the pipes from these descriptors, which are closed, and ties the process to its lifeline."""
    global _next_frame
    for name, number in numbers.items():
        descriptors[name] = _set_aside(number)
    _next_frame = _reader(descriptors["requests"])
    tie_to_daemon(descriptors["lifeline"])


def _set_aside(number):
    """A close-on-exec duplicate far up, where code that closes a range of descriptors, and opens others, seldom gets."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    floor = max(min(limit if limit > 0 else 1024, 1024) - 24, 16)
    try:
        duplicate = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, floor)
    except OSError:
        return -1
    os.close(number)
    return duplicate


def close_others(ours):
    """Closes what the daemon has left open by accident: it would stay open as long as the worker lives."""
    try:
        open_ones = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        open_ones = range(3, 256)
    for number in open_ones:
        if number > 2 and number not in ours:
            try:
                os.close(number)
            except OSError:
                pass


def tie_to_daemon(lifeline):
    """Has the kernel end the whole group when the daemon's end of this pipe closes, however the daemon ends."""
    if lifeline < 0:
        return
    if hasattr(fcntl, "F_SETSIG"):
        owner = -os.getpid() if os.getpgrp() == os.getpid() else os.getpid()
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, owner)
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, _signal.SIGKILL)
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
        # It may have closed before it could signal.
        poll = select.poll()
        poll.register(lifeline, select.POLLIN)
        if poll.poll(0):
            _end_group()
    else:
        import _thread

        _thread.start_new_thread(_wait_for_end, (lifeline,))


def _wait_for_end(lifeline):
    while os.read(lifeline, 1):
        pass
    _end_group()


def _end_group():
    if os.getpgrp() == os.getpid():
        os.killpg(0, _signal.SIGKILL)
    os.kill(os.getpid(), _signal.SIGKILL)


def buffer_lines():
    """Has each line that is printed leave at once, and no text fail to be printed."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _after_fork():
    """In a child: the pipes are the worker's alone."""
    global forked
    if forking_worker:
        return
    forked = True
    close_all()


def close_all():
    """Closes the pipes."""
    for name in descriptors:
        close(name)


def close(name):
    """Closes one of the pipes."""
    number, descriptors[name] = descriptors.get(name, -1), -1
    if number >= 0:
        try:
            os.close(number)
        except OSError:
            pass  # A plugin has closed it.


def limit_frames(limit):
    """Sets the limit of a result's length, in bytes."""
    global _max_frame
    if limit:
        _max_frame = limit


def max_frame():
    """The limit of a result's length, in bytes."""
    return _max_frame


def _reader(descriptor, read=os.read):
    """A function that returns the next frame's bytes each time, and None at the end."""
    rest = b""

    def next_frame():
        nonlocal rest
        data = rest
        while len(data) < 4:
            try:
                chunk = read(descriptor, 65536)
            except BlockingIOError:
                os.set_blocking(descriptor, True)  # A plugin has found it.
                continue
            if not chunk:
                return None
            data = data + chunk
        end = 4 + int.from_bytes(data[:4], "little")
        if len(data) < end:
            data = bytearray(data)
            while len(data) < end:
                chunk = read(descriptor, min(end - len(data), 1 << 18))
                if not chunk:
                    return None
                data += chunk
            rest = b""
            return memoryview(data)[4:]
        rest = data[end:]
        return data[4:end]

    return next_frame


def next_frame():
    """The function that reads the next frame, for a loop to call directly."""
    return _next_frame


def send(descriptor, data, write=os.write):
    """Writes all of `data`."""
    sent = write(descriptor, data)
    if sent != len(data):
        rest = memoryview(data)[sent:]
        while rest:
            rest = rest[write(descriptor, rest):]


def send_frame(descriptor, data):
    """Writes a message of the agent's own as a frame.

    Raises FrameTooLong, having written nothing.
    """
    if len(data) > OWN:
        raise FrameTooLong("%d bytes of JSON are more than the limit of %d" % (len(data), OWN))
    send(descriptor, len(data).to_bytes(4, "little") + data)


def _refuse_constant(text):
    raise ValueError("%s is no JSON" % text)


class _Settings:
    """What the C scanner asks of a decoder."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse_constant)
    memo = {}


#: `scan(text, 0)` gives a value and where it ended. The module `json` itself takes 15 ms to import.
scan = _json.make_scanner(_Settings)


def encoder(default):
    """A function `encode(value, 0)` that gives the pieces of the value's JSON; `default` translates other objects."""
    return _json.make_encoder(None, default, _json.encode_basestring, None, ":", ",", False, False, False)


def _no_other_objects(value):
    raise TypeError("not JSON: %r" % (value,))


_encode = encoder(_no_other_objects)


def say(message, descriptor=None):
    """Sends a message of the agent's own."""
    data = "".join(_encode(message, 0)).encode("utf-8", "replace")
    send_frame(descriptors["answers"] if descriptor is None else descriptor, data)


def next_request():
    """The next request as a dictionary; None at the end."""
    data = _next_frame()
    return None if data is None else scan(str(data, "utf-8"), 0)[0]
