"""Calls: finding the function, filling in its parameters, answering."""

import os
import sys

#: Parameters that are filled in unless the caller gives them.
FILLED_IN = ("sgtk", "tank", "engine", "context")

_found = {}


class NoSuchFunction(Exception):
    """There is no function of the name that was called."""


def serve():
    """Answers requests until they end. Returns the exit status."""
    wire = part("wire")
    next_frame, scan, send = wire.next_frame(), wire.scan, wire.send
    pickles = part("pickles")
    read_call, pickle_result = pickles.read_call, pickles.pickle_result
    answers = wire.descriptors["answers"]
    encode = wire.encoder(lambda value: part("values").translate(value))
    longest = wire.max_frame()
    streams = [stream for stream in (sys.stdout, sys.stderr) if stream is not None]
    own = part("project").own_state()
    while True:
        # If the handler of a signal raises here, the worker ends: part of a request may be lost.
        data = next_frame()
        if data is None:
            return 0
        number = result = error = pickled = None
        try:
            if data[0] == pickles.OBJECT:
                request = scan(str(data, "utf-8"), 0)[0]
                number = request.get("id")
                if number is None:
                    if "end" in request:
                        return 0
                    if "check" in request:
                        wire.send_message({"checked": part("errors").do_not_compile(request["check"])})
                        continue
                    if "load_anew" in request:
                        wire.send_message({"forgotten": _forget_plugins(own)})
                        continue
                    break
                target, arguments, named = request["call"], request["args"], request["kwargs"]
            else:
                number = pickles.number(data)
                pickled = True
                target, arguments, named = read_call(data)
        except BaseException as fault:
            answer = _invalid_call(data, number, fault)
            send(answers, len(answer).to_bytes(4, "little"), answer)
            continue
        note = None
        try:
            try:
                function, wanted = find(target)
            except BaseException:
                note = "cannot load %s" % target
                raise
            if wanted:
                _fill_in(target, wanted, len(arguments), named)
            result = function(*arguments, **named)
        except BaseException as raised:
            error = raised
        if wire.forked:
            _end_of_fork(error)
        for stream in streams:
            try:
                stream.flush()
            except Exception:
                pass  # Closed by a plugin, or its pipe is.
        head = b""
        if error is None:
            answer = pickle_result(result) if pickled else None
            try:
                if answer is not None:
                    head = pickles.head(number)
                else:
                    answer = '{"id":%d,"result":%s}' % (number, "".join(encode(result, 0)))
                    answer = answer.encode()
                if len(head) + len(answer) > longest:
                    too_long = {"place": "result", "reason": _too_long(len(head) + len(answer), longest)}
                    head, answer = b"", _invalid_result(number, too_long)
            except BaseException as fault:
                answer = _invalid_result(number, part("values").find_fault(result, fault))
        else:
            answer = _failed(number, error, note)
        # No value of this call lives on while the next one is awaited.
        data = request = result = error = arguments = named = function = None
        head = head if own is None or own.is_in_order() else _what_was_left(own, target) + head
        send(answers, (len(head) + len(answer)).to_bytes(4, "little") + head, answer)
        answer = None
    raise RuntimeError("a request is neither a call nor 'end'")


def _forget_plugins(own):
    """Has modules of plugins loaded anew when they are imported next. Returns their names."""
    names = part("project").forget_plugins()
    _found.clear()
    if own is not None:
        own.note()
    return names


def _what_was_left(own, called):
    """What precedes the answer of a call that did something to the project's own state, which is undone."""
    try:
        found, can_go_on = own.put_right()
    except BaseException as error:
        found, can_go_on = ["what it was is not known: %s" % part("errors").message(error)], False
    if not found and can_go_on:
        return b""
    _found.clear()
    is_news = called not in own.told
    own.told.add(called)
    clean = part("errors").clean
    left = {"what": [clean(one, 1000) for one in found], "replace": not can_go_on, "news": is_news}
    left = "".join(part("wire").encoder(None)(left, 0)).encode("utf-8", "replace")
    return b"L" + len(left).to_bytes(4, "little") + left


def _too_long(size, limit):
    return "%d bytes are more than the limit of %d" % (size, limit)


def _message(number, key, body):
    return "".join(part("wire").encoder(None)({"id": number, key: body}, 0)).encode("utf-8", "replace")


def _invalid_result(number, fault):
    return _message(number, "invalid_result", fault)


def _failed(number, error, note):
    return _message(number, "error", part("errors").describe(error, note))


def _invalid_call(data, number, error):
    """The answer to a request that cannot be read: nested too deeply, or with a number that is too long."""
    if number is None:
        head = bytes(data[:40])
        start = head.find(b'"id":')
        digits = head[start + 5 :].split(b",")[0].strip() if start >= 0 else b""
        if not digits.isdigit():
            raise RuntimeError("a request cannot be read: %s" % part("errors").message(error))
        number = int(digits)
    return _message(number, "invalid_call", part("errors").describe(error, "cannot read the arguments"))


def find(target):
    """The function that `module:function` names, and which of its parameters are filled in."""
    known = _found.get(target)
    if known is not None:
        module, attribute, function, wanted = known
        if sys.modules.get(module.__name__) is module and module.__dict__.get(attribute) is function:
            return function, wanted
    name, _, attribute = target.partition(":")
    if not name or not attribute:
        raise NoSuchFunction("%r is not of the form 'module:function'" % target)
    function = module = _load(name)
    for step in attribute.split("."):
        try:
            function = getattr(function, step)
        except AttributeError:
            place = getattr(module, "__file__", None) or "built in"
            raise NoSuchFunction("module %r has no %r (%s)" % (name, attribute, place)) from None
    if not callable(function):
        raise NoSuchFunction("%r is a %s and cannot be called" % (target, type(function).__name__))
    wanted = _filled_in(function)
    if getattr(module, "__name__", None) == name and isinstance(getattr(module, "__dict__", None), dict):
        _found[target] = module, attribute, function, wanted
    return function, wanted


def _load(name):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        if error.name != name and not name.startswith("%s." % error.name):
            raise
        # The file, or its folder, may be newer than Python's cache of the folder.
        part("project").forget_listings()
        __import__(name)
    return sys.modules[name]


def _filled_in(function):
    """The parameters of `function` to be filled in: (name, index or None for one by keyword, whether it has a
    default).
    """
    if type(function) is type(_filled_in) and not hasattr(function, "__wrapped__"):
        return tuple(_filled_in_by_code(function))
    try:
        # Imported only if needed, as it takes 15 ms.
        import inspect

        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()  # In C, and without a signature.
    wanted = []
    for index, parameter in enumerate(parameters):
        by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if parameter.name in FILLED_IN and by_name:
            place = index if parameter.kind == parameter.POSITIONAL_OR_KEYWORD else None
            wanted.append((parameter.name, place, parameter.default is not parameter.empty))
    return tuple(wanted)


def _filled_in_by_code(function):
    code = function.__code__
    without_default = code.co_argcount - len(function.__defaults__ or ())
    for index in range(getattr(code, "co_posonlyargcount", 0), code.co_argcount):
        if code.co_varnames[index] in FILLED_IN:
            yield code.co_varnames[index], index, index >= without_default
    for name in code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]:
        if name in FILLED_IN:
            yield name, None, name in (function.__kwdefaults__ or ())


def _fill_in(target, wanted, given, named):
    for name, index, has_default in wanted:
        if name in named or (index is not None and index < given):
            continue
        value = part("project").provide(name)
        if value is not None:
            named[name] = value
        elif not has_default:
            raise TypeError("%s() asks for %r, %s" % (target, name, part("project").why_missing(name)))


def _end_of_fork(error):
    """Ends a child that a plugin has forked and let return, which must not answer the call."""
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    else:
        status = int(error is not None)
        if error is not None:
            part("errors").print_to_stderr("in a child that a call has forked", error)
    _flush()
    os._exit(status & 0xFF)


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


#: How long to wait for threads at the end, in seconds.
THREADS = 1.0

#: The same for processes that plugins have started and left.
_children = 4.0


def give_children(grace):
    """Sets how long a worker has to end; its children have the greater part of that. None: no limit."""
    global _children
    _children = 30.0 if grace is None else 0.8 * grace


def finish(status):
    """Ends the process: destroys the engine, waits for threads for a moment, runs `atexit` functions, waits
    for processes that were left, flushes the streams.
    """
    import atexit

    for last in (
        part("project").destroy_engine,
        _wait_for_threads,
        atexit._run_exitfuncs,
        _wait_for_children,
    ):
        try:
            last()
        except BaseException as error:
            part("errors").print_to_stderr("at the worker's end", error)
    _flush()
    os._exit(status)


def _wait_for_children():
    """Gives processes that plugins have started in this session time to end, and tells of it."""
    import time

    end = time.monotonic() + _children
    left = _session()
    if not left:
        return
    names = ", ".join("%s (%d)" % (name, pid) for pid, name in left)
    logging = part("records").logging
    log = logging.getLogger("sgtk_host.worker")
    log.warning(
        "a worker that is to end has left processes running: %s; they have %.1f s to end", names, _children
    )
    while left and time.monotonic() < end:
        _reap()
        time.sleep(0.02)
        left = _session()
    for pid, name in left:
        log.warning("process %s (%d) did not end in time and is ended with its worker", name, pid)
        try:
            os.kill(pid, 15)
        except OSError:
            pass


def _session():
    """The other processes of this session that still run: (pid, name). Where `/proc` does not tell, none."""
    found = []
    own = os.getpid()
    try:
        names = os.listdir("/proc")
    except OSError:
        return found
    for name in names:
        if not name.isdigit() or int(name) == own:
            continue
        try:
            with open("/proc/%s/stat" % name, "rb") as stream:
                head, _, rest = stream.read().rpartition(b") ")
        except OSError:
            continue
        state, _, _, session = rest.split(b" ", 4)[:4]
        if int(session) == own and state not in (b"Z", b"X"):
            found.append((int(name), os.fsdecode(head.partition(b"(")[2])))
    return found


def _reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except OSError:
        pass


def _wait_for_threads():
    """As Python does at its end, where threads of `concurrent.futures` are told to end, but with a limit."""
    threading = sys.modules.get("threading")
    if threading is None or len(threading.enumerate()) == 1:
        return

    def end_them():
        for hook in reversed(getattr(threading, "_threading_atexits", ())):
            hook()
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.main_thread():
                thread.join()

    ending = threading.Thread(target=end_them, daemon=True)
    ending.start()
    ending.join(THREADS)
