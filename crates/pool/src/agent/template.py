"""A template: a process with one thread that has imported a core and forks workers, each of which enters a project.

Linux only: a worker's pipes come over a Unix socket, and who else runs is read from `/proc`.
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
    """Imports the core and forks workers until told to end. Returns the exit status, in each worker too."""
    wire, project = part("wire"), part("project")
    try:
        told = project.prepare(request)
    except BaseException as error:
        wire.say({"failed": {"step": project.step, "error": part("errors").describe(error)}})
        return 1
    for name in ("bootstrap", "calls", "values"):
        part(name)
    # What a worker imports for its first exception, or for a function that is more than a plain one.
    import inspect
    import traceback

    # A core may have left files open that nothing refers to any more.
    gc.collect()
    reasons, files = _look_at_itself()
    if reasons:
        wire.say({"unfit": reasons})
        return 1
    template = Template(files)
    # What is there now is not looked at again, so that no worker's collector copies its pages.
    gc.freeze()
    wire.say({"template": told})
    if template.serve():
        return 0
    hello()
    request = wire.next_request()
    return 0 if request is None or "enter" not in request else work(request["enter"])


def _look_at_itself():
    """Why forking this process would not give workers like those that are started, as they would lack a thread or share
    a connection; and the descriptors of files that the core has open (zips of libraries).
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
    """Gives a descriptor that was inherited a position of its own: reading in one process would move the other's."""
    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    again = os.open("/proc/self/fd/%d" % number, flags | os.O_CLOEXEC)
    try:
        os.lseek(again, os.lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
    except OSError:
        pass  # Not a file that has a position.
    os.dup2(again, number, inheritable=os.get_inheritable(number))
    os.close(again)


class Template:
    """Forks workers on request, and reaps those that the daemon watches."""

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
        """Takes what there is on the socket. Returns whether there can be more."""
        close_on_exec = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
        data, ancillary, _, _ = self.socket.recvmsg(65536, _RIGHTS, close_on_exec)
        for level, kind, numbers in ancillary:
            if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
                whole = len(numbers) // 4 * 4
                passed = [int.from_bytes(numbers[at:at + 4], sys.byteorder) for at in range(0, whole, 4)]
                self.passed.append(passed)
        self.received += data
        return bool(data)

    def requests(self):
        """The requests that have come whole."""
        while len(self.received) >= 4:
            end = 4 + int.from_bytes(self.received[:4], "little")
            if len(self.received) < end:
                return
            frame, self.received = self.received[4:end], self.received[end:]
            yield part("wire").scan(str(frame, "utf-8"), 0)[0]

    def fork(self):
        """Forks a worker on the descriptors that were passed. Returns whether this is the worker."""
        wire = part("wire")
        passed = self.passed.pop(0) if self.passed else []
        pid, failure = None, None
        try:
            if len(passed) != len(PASSED):
                raise ValueError("%d descriptors came with a request to fork, not %d" % (len(passed), len(PASSED)))
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
        wire.say({"forked": pid, "error": failure})
        return False

    def become_worker(self, passed):
        """In the child: nothing of the template stays, and nothing is shared that a process has to itself."""
        wire = part("wire")
        wire.lead_group()
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
        # Python itself seeds the module `random` after a fork; these are the core's own.
        for generator in self.generators:
            generator.seed()
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed()
        self.generators = self.children = None

    def reap(self):
        """Takes the status of children that have ended, once the daemon watches them: until then no other process may
        get their number."""
        for pid, watched in list(self.children.items()):
            if watched:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    del self.children[pid]
                    part("wire").say({"ended": pid, "status": status})


def _random_generators():
    """Random number generators that the core has made: forked workers would draw the same numbers."""
    random = sys.modules.get("random")
    if random is None:
        return []
    return [found for found in gc.get_objects() if random.Random in type(found).__mro__]
