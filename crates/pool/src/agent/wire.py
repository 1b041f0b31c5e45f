"""The descriptors of a worker, and the frames on them: a length of four bytes, little-endian, and a message
of that length.
"""

import _signal
import fcntl
import io
import json
import json.encoder
import os
import resource
import select
import sys

#: The limit on a result, in bytes, unless the daemon sets another.
MAX_FRAME = 64 << 20

#: The limit on other messages, errors among them, in bytes. The daemon has the same limit.
LONGEST_OWN = 4 << 20

#: The longest frame for which room is kept, in bytes.
MOST_KEPT = 4 << 20

#: The pipes by name; -1 for a closed one, as in a child that a plugin has forked.
descriptors = {}

#: Whether this is not the worker but a process that a plugin has forked.
forked = False

#: Set while a template forks a worker, which keeps its pipes.
forking_worker = False

_max_frame = MAX_FRAME
_next_frame = None


class FrameTooLong(Exception):
    """A frame is longer than the limit."""


def take_over(numbers):
    """Makes the process a worker: with its own session, default signals, and pipes at high descriptors."""
    lead_session()
    default_signals()
    adopt(numbers)
    close_others(set(descriptors.values()) | part("store").descriptors())
    os.register_at_fork(after_in_child=_after_fork)
    buffer_lines()
    answer_nobody()
    # Prints the stack after a crash in C code, and when a call is ended by SIGTERM.
    import faulthandler

    faulthandler.enable(2, all_threads=False)
    faulthandler.register(_signal.SIGTERM, 2, all_threads=False, chain=True)


def lead_session():
    """Makes this process the leader of a session, and so of a group: it has no terminal at which it, or what
    it starts, could ask anybody, and Ctrl-C in the daemon's terminal does not reach it.
    """
    if os.getpgrp() != os.getpid():
        # Who leads a group cannot; a worker that was started leads a session already.
        os.setsid()


def default_signals():
    """Resets inherited signal dispositions, which the processes that plugins start would inherit in turn."""
    for number in range(1, _signal.NSIG):
        if number in (_signal.SIGPIPE, getattr(_signal, "SIGXFSZ", None)):
            continue  # Python itself ignores those.
        if _signal.getsignal(number) == _signal.SIG_IGN:
            try:
                _signal.signal(number, _signal.SIG_DFL)
            except (OSError, ValueError):
                pass  # Reserved by the C library.
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def adopt(numbers):
    """Moves the pipes away from these descriptors, and ties the process to its lifeline."""
    global _next_frame
    for name, number in numbers.items():
        descriptors[name] = _move_up(number)
    _next_frame = _reader(descriptors["requests"])
    tie_to_daemon(descriptors["lifeline"])


def _move_up(number):
    """Moves a descriptor to a high number, which code that closes or opens descriptors seldom reaches."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    floor = max(min(limit if limit > 0 else 1024, 1024) - 24, 16)
    try:
        duplicate = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, floor)
    except OSError:
        return -1
    os.close(number)
    return duplicate


def close_others(ours):
    """Closes descriptors that were inherited by accident, which would stay open as long as the worker lives.
    """
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
    """Has the kernel kill the process group when the daemon's end of this pipe closes, however the daemon
    ends.
    """
    if lifeline < 0:
        return
    if hasattr(fcntl, "F_SETSIG"):
        owner = -os.getpid() if os.getpgrp() == os.getpid() else os.getpid()
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, owner)
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, _signal.SIGKILL)
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
        # It may have closed before the signal was set.
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
    """Makes the standard streams line-buffered, and able to print any text."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


class _Nobody(io.TextIOWrapper):
    """Standard input of a process whose user is not there: it is at its end, and asking is an error that says
    so.
    """

    def readline(self, *limit):
        """For `input` and `getpass`."""
        raise EOFError("nobody can be asked: a worker has no user, and its standard input is empty")

    def __next__(self):
        """Reading line by line is not asking."""
        raise StopIteration


def answer_nobody():
    """Has questions to a user fail at once."""
    if sys.stdin is not None:
        sys.stdin = sys.__stdin__ = _Nobody(open(0, "rb", closefd=False), encoding="utf-8")


def _after_fork():
    """In a child: closes the pipes, which belong to the worker."""
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


def keep_freed_memory(size):
    """Has the C library keep about so many bytes that are freed.

    By default it gives back what is free at the end of its memory beyond 128 KiB, and takes it again page by
    page with the next call. To free a block of a size that it maps by itself raises that limit (mallopt(3),
    the dynamic mmap threshold). No page of the block is touched.
    """
    try:
        bytearray(size)
    except MemoryError:
        pass  # The process's memory is limited: then it stays as it was.


def _reader(descriptor, read=os.read):
    """A function that returns the next frame's bytes each time, and None at the end. They are good until the
    next call.
    """
    rest = b""
    room = memoryview(b"")

    def next_frame():
        nonlocal rest, room
        data = rest
        while len(data) < 4:
            try:
                chunk = read(descriptor, 65536)
            except BlockingIOError:
                os.set_blocking(descriptor, True)  # A plugin has changed it.
                continue
            if not chunk:
                return None
            data = data + chunk
        end = 4 + int.from_bytes(data[:4], "little")
        if len(data) < end:
            if len(room) >= end:
                whole = room[:end]
            elif end <= MOST_KEPT:
                whole = memoryview(bytearray(end))
                room = whole
                keep_freed_memory(4 * end)
            else:
                whole = memoryview(bytearray(end))
            filled = len(data)
            whole[:filled] = data
            os.set_blocking(descriptor, True)  # A plugin may have changed it.
            while filled < end:
                count = os.readv(descriptor, (whole[filled:],))
                if not count:
                    return None
                filled += count
            rest = b""
            return whole[4:]
        rest = data[end:]
        return data[4:end]

    return next_frame


def next_frame():
    """The function that reads the next frame."""
    return _next_frame


def send(descriptor, head, data, write=os.writev):
    """Writes all of `head` and `data`."""
    sent = write(descriptor, (head, data))
    while sent < len(head) + len(data):
        rest = memoryview(data)[max(sent - len(head), 0) :]
        sent += write(descriptor, (head[sent:], rest))


def send_frame(descriptor, data):
    """Writes a message as a frame.

    Raises FrameTooLong, having written nothing.
    """
    if len(data) > LONGEST_OWN:
        raise FrameTooLong("%d bytes are more than the limit of %d" % (len(data), LONGEST_OWN))
    send(descriptor, len(data).to_bytes(4, "little"), data)


def _refuse_constant(text):
    raise ValueError("%s is not JSON" % text)


#: `scan(text, 0)` returns a value and its end.
scan = json.JSONDecoder(strict=False, parse_constant=_refuse_constant).scan_once


def encoder(default):
    """A function `encode(value, 0)` that returns the parts of the value's JSON; `default` translates other
    objects.
    """
    make = json.encoder.c_make_encoder
    if make is None:
        options = {"check_circular": False, "allow_nan": False, "separators": (",", ":")}
        encode = json.JSONEncoder(default=default, ensure_ascii=False, **options).iterencode
        return lambda value, level: encode(value)
    # What JSONEncoder does for each value, done once: it would cost a tenth of a short call.
    return make(None, default, json.encoder.encode_basestring, None, ":", ",", False, False, False)


def _no_other_objects(value):
    raise TypeError("not JSON: %r" % (value,))


_encode = encoder(_no_other_objects)


def send_message(message, descriptor=None):
    """Sends a message, as the answer to a request unless another pipe is given."""
    data = "".join(_encode(message, 0)).encode("utf-8", "replace")
    send_frame(descriptors["answers"] if descriptor is None else descriptor, data)


def next_request():
    """The next request as a dictionary; None at the end."""
    data = _next_frame()
    return None if data is None else scan(str(data, "utf-8"), 0)[0]
