"""A template: a process with a single thread that has imported a core and forks workers.

Linux only: the pipes of workers come over a Unix socket, and other threads are found in `/proc`.
"""

import _signal
import _socket
import fcntl
import gc
import os
import select
import stat
import sys

#: The descriptors that come with each request to fork, in this order.
PASSED = ("stdout", "stderr", "requests", "answers", "records", "lifeline")

_RIGHTS = _socket.CMSG_SPACE(4 * len(PASSED))


def serve(request, hello, work):
    """Imports the core and forks workers until report to end. Returns the exit status, in each worker too."""
    wire, project = part("wire"), part("project")
    try:
        report = project.prepare(request)
    except BaseException as error:
        wire.send_message({"failed": {"step": project.step, "error": part("errors").describe(error)}})
        return 1
    for name in ("bootstrap", "calls", "own_state", "values"):
        part(name)
    # What a worker would import for its first exception, to inspect a function, or to watch its own state.
    import inspect
    import traceback

    part("own_state").version_tag({})

    # Closes files of the core that nothing refers to.
    gc.collect()
    reasons, files = _inspect()
    if reasons:
        wire.send_message({"unfit": reasons})
        return 1
    template = Template(files)
    # Workers' collectors do not visit these objects, so that their pages stay shared.
    gc.freeze()
    wire.send_message({"template": report})
    if template.serve():
        return 0
    hello()
    request = wire.next_request()
    return 0 if request is None or "enter" not in request else work(request["enter"])


def _inspect():
    """Finds why forked workers would differ from started ones, and the open files of the core.

    Returns the reasons (a thread that they would lack, a connection that they would share), and the
    descriptors of files (zips of libraries).
    """
    reasons, files = [], []
    threading = sys.modules.get("threading")
    known = [] if threading is None else threading.enumerate()
    reasons.extend("thread %r" % thread.name for thread in known if thread is not threading.main_thread())
    nameless = len(os.listdir("/proc/self/task")) - 1 - len(reasons)
    if nameless > 0:
        reasons.append("%d threads that are not Python's" % nameless)
    ours = set(part("wire").descriptors.values())
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in ours:
            try:
                kind = stat.S_IFMT(os.fstat(int(name)).st_mode)
                if kind in (stat.S_IFREG, stat.S_IFCHR, stat.S_IFDIR):
                    files.append(int(name))
                else:
                    reasons.append("open descriptor of %s" % os.readlink("/proc/self/fd/" + name))
            except OSError:
                pass  # The one of the listing itself.
    return [part("errors").clean(reason) for reason in reasons], files


def _open_again(number):
    """Gives an inherited descriptor its own file position, which it would share with the template."""
    # What names a descriptor there is a link.
    flags = fcntl.fcntl(number, fcntl.F_GETFL) & ~os.O_NOFOLLOW
    again = os.open("/proc/self/fd/%d" % number, flags | os.O_CLOEXEC)
    try:
        os.lseek(again, os.lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
    except OSError:
        pass  # Not a file that has a position.
    os.dup2(again, number, inheritable=os.get_inheritable(number))
    os.close(again)


class Template:
    """Forks workers on request, and reaps them when the daemon has seen their end."""

    def __init__(self, files):
        wire = part("wire")
        self.socket = _socket.socket(fileno=wire.descriptors["forks"])
        self.received = b""
        self.passed = []
        self.children = {}
        self.files = files
        self.generators = _random_generators()
        # A child's end wakes the template.
        self.wake, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.write_end = write_end
        _signal.signal(_signal.SIGCHLD, lambda number, frame: None)
        _signal.set_wakeup_fd(write_end)

    def serve(self):
        """Returns True in the template when it has to end, and False in each worker."""
        poll = select.poll()
        poll.register(self.socket.fileno(), select.POLLIN)
        poll.register(self.wake, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self.wake in ready:
                os.read(self.wake, 512)
                self.reap()
            if self.socket.fileno() not in ready:
                continue
            if not self.receive():
                return True
            for request in self.requests():
                if "fork" in request:
                    if self.fork():
                        return False
                elif "watching" in request:
                    self.children[request["watching"]] = True
                    self.reap()
                elif "end" in request:
                    return True

    def receive(self):
        """Reads from the socket. Returns whether it is open."""
        close_on_exec = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
        data, ancillary, _, _ = self.socket.recvmsg(65536, _RIGHTS, close_on_exec)
        for level, kind, numbers in ancillary:
            if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
                whole = len(numbers) // 4 * 4
                passed = [int.from_bytes(numbers[at : at + 4], sys.byteorder) for at in range(0, whole, 4)]
                self.passed.append(passed)
        self.received += data
        return bool(data)

    def requests(self):
        """The requests that are complete."""
        while len(self.received) >= 4:
            end = 4 + int.from_bytes(self.received[:4], "little")
            if len(self.received) < end:
                return
            frame, self.received = self.received[4:end], self.received[end:]
            yield part("wire").scan(str(frame, "utf-8"), 0)[0]

    def fork(self):
        """Forks a worker with the descriptors that were passed. Returns whether this is the worker."""
        wire = part("wire")
        passed = self.passed.pop(0) if self.passed else []
        pid, failure = None, None
        try:
            if len(passed) != len(PASSED):
                counts = (len(passed), len(PASSED))
                raise ValueError("%d descriptors came with a request to fork, not %d" % counts)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            wire.forking_worker = True
            pid = os.fork()
        except Exception as error:
            failure = part("errors").describe(error)
        finally:
            wire.forking_worker = False
        if pid == 0:
            self.become_worker(dict(zip(PASSED, passed)))
            return True
        for number in passed:
            os.close(number)
        if pid is not None:
            self.children[pid] = False
        wire.send_message({"forked": pid, "error": failure})
        return False

    def become_worker(self, passed):
        """In the child: closes what belongs to the template, and renews what processes must not share."""
        wire = part("wire")
        wire.lead_session()
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        self.socket.detach()
        wire.close_all()
        os.close(self.wake)
        os.close(self.write_end)
        for name, number in (("stdout", 1), ("stderr", 2)):
            given = passed.pop(name)
            os.dup2(given, number)
            os.close(given)
        wire.adopt(passed)
        for number in self.files:
            _open_again(number)
        # Python reseeds the module `random` after a fork, but no other generators.
        for generator in self.generators:
            generator.seed()
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed()
        self.generators = self.children = None

    def reap(self):
        """Reaps children that have ended, once the daemon has seen that: until then their process ids must
        stay theirs.
        """
        for pid, watched in list(self.children.items()):
            if watched:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    del self.children[pid]
                    part("wire").send_message({"ended": pid, "status": status})


def _random_generators():
    """Random number generators of the core, which would give the same numbers in all workers."""
    random = sys.modules.get("random")
    if random is None:
        return []
    return [found for found in gc.get_objects() if random.Random in type(found).__mro__]
