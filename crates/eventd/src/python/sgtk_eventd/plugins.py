"""Plugins as shotgunEvents has them: files of a folder, loaded by path, that register callbacks.

The daemon says which files there are (`sync`) and which callback an event is for (`run`). A worker that was
started anew has loaded nothing: it answers `run` with `{"stale": true}`, and nothing has run.
"""

import importlib.machinery
import importlib.util
import logging
import mmap
import os
import pprint
import sys
import time
import traceback

from . import records, values, worker
from .configuration import configuration

#: Characters that are told of a plugin's local variables, of what it raises, and of where.
LONGEST_LOCALS, LONGEST_MESSAGE, LONGEST_TRACE = 8000, 2000, 20000


class Source(importlib.machinery.SourceFileLoader):
    """Loads what the file says now: no bytecode of an earlier second, and none left in the studio's folder.
    """

    def get_code(self, fullname):
        """The code, compiled."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class Callback(object):
    """A function that a plugin has registered."""

    def __init__(self, plugin, function, client, match, args, stop_on_error):
        if not callable(function):
            raise TypeError("the callback is a %s and cannot be called" % type(function).__name__)
        self.function, self.client, self.match, self.args = function, client, match, args
        self.stop_on_error = bool(stop_on_error)
        self.told = False
        name = getattr(function, "__name__", None)
        self.name = name or "%s_%s" % (type(function).__name__, hex(id(function)))
        self.logger = logging.getLogger("%s.%s" % (plugin.logger.name, self.name))
        self.logger.config = plugin.logger.config

    def wants(self, event):
        """Whether the event passes the filter."""
        try:
            return self.passes(event)
        except Exception as error:
            words = "matchEvents is %r, and has to be {event type or '*': None or a list of attribute names}"
            raise TypeError(words % (self.match,)) from error

    def passes(self, event):
        """As `wants`."""
        if not self.match:
            return True
        kind = "*" if "*" in self.match else event["event_type"]
        if kind not in self.match:
            return False
        names = self.match[kind]
        if names is None or "*" in names:
            return True
        name = event["attribute_name"]
        return bool(name) and name in names

    def never_ran(self, result):
        """Says once that nothing of a function has run, as it waits for somebody to go through its result."""
        if not self.told:
            self.told = True
            kind = type(result).__name__
            words = "The callback has `yield` in it, or is `async`: calling it gives a %s, and runs nothing."
            self.logger.warning(words, kind)

    def described(self):
        """What the daemon has to know of it."""
        match, opaque = described_filter(self.match)
        return {"name": self.name, "match": match, "opaque": opaque, "stop_on_error": self.stop_on_error}


def described_filter(match):
    """The filter as JSON, and whether it is of another kind, so that the worker alone can ask it."""
    if not match:
        return None, False
    if type(match) is not dict:
        return None, True
    told = {}
    for kind, names in match.items():
        if not isinstance(kind, str):
            return None, True
        if isinstance(names, (list, tuple, set, frozenset)) and all(isinstance(name, str) for name in names):
            told[kind] = list(names)
        elif names is None or isinstance(names, str):
            told[kind] = names
        else:
            return None, True
    return told, False


def as_text(value):
    """A value as JSON has it, all of its text as UTF-8."""
    if isinstance(value, str):
        return records.plain(value)
    if isinstance(value, dict):
        return {as_text(key): as_text(item) for key, item in value.items()}
    return [as_text(item) for item in value] if isinstance(value, list) else value


class Registrar(object):
    """What a plugin's `registerCallbacks` is given."""

    def __init__(self, plugin):
        self._plugin = plugin
        self.logger = plugin.logger

    def getLogger(self):
        """The plugin's logger."""
        return self.logger

    def setEmails(self, *emails):
        """Whom the plugin's errors are mailed to: addresses, True for those of the file, False for nobody."""
        if len(emails) == 1 and isinstance(emails[0], (list, tuple)):
            emails = emails[0]
        if len(emails) == 1 and isinstance(emails[0], bool):
            self._plugin.emails = emails[0]
            return
        addresses = [address for address in emails if isinstance(address, str) and address.strip()]
        if len(addresses) < len(emails):
            # A variable of the environment that is not set, most often. shotgunEvents fails to mail later.
            words = "setEmails: %r is not an address, and is left out; errors are mailed to %s."
            wrong = next(one for one in emails if one not in addresses)
            self.logger.warning(words, wrong, ", ".join(addresses) or "nobody")
        self._plugin.emails = addresses

    def registerCallback(
        self, sgScriptName, sgScriptKey, callback, matchEvents=None, args=None, stopOnError=True
    ):
        """Registers a function for the events that the filter lets through, with a client of its own."""
        if self._plugin.registered:
            words = "registerCallback has no effect once registerCallbacks has returned: %r is not called."
            self.logger.warning(words, callback)
            return
        records.hide(sgScriptKey)
        client = self._plugin.host.connect(sgScriptName, sgScriptKey)
        self._plugin.scripts.append(str(sgScriptName))
        self._plugin.callbacks.append(
            Callback(self._plugin, callback, client, matchEvents, args, stopOnError)
        )


class Plugin(object):
    """A file of the folder."""

    def __init__(self, host, key, path):
        self.host, self.key, self.path = host, key, path
        self.name = os.path.splitext(os.path.basename(path))[0]
        self.stamp = None
        records.plugins.add(self.name)
        self.logger = logging.getLogger("plugin." + self.name)
        records.keep(self.logger)
        self.logger.config = host.config
        self.logger.setLevel(host.log_level)
        self.forget()

    def forget(self):
        """As before it was loaded."""
        self.callbacks, self.emails, self.scripts, self.problem, self.again = [], True, [], None, False
        self.registered = False

    def load(self, stamp):
        """Loads the file. What goes wrong is kept in `problem`."""
        before = self.problem if self.again else None
        self.forget()
        self.stamp = stamp
        step = "load"
        try:
            loader = Source(self.name, self.path)
            spec = importlib.util.spec_from_file_location(self.name, self.path, loader=loader)
            module = importlib.util.module_from_spec(spec)
            loader.exec_module(module)
            step = "register"
            register = getattr(module, "registerCallbacks", None)
            if not callable(register):
                raise AttributeError("the plugin has no function registerCallbacks")
            register(Registrar(self))
            self.registered = True
        except BaseException as error:
            trace = shortened(records.plain(traceback.format_exc()), LONGEST_TRACE)
            self.callbacks = []
            message = shortened(records.plain(records.shown(error)), LONGEST_MESSAGE)
            self.problem = {"step": step, "message": message, "traceback": trace}
            # Not the plugin's fault: the site is away.
            self.again = worker.is_away(error)
            if self.again and before is not None and before["message"] == self.problem["message"]:
                # It was told, and is tried every few seconds.
                return
            words = "The plugin %s could not be loaded (%s).\n\n%s"
            level = logging.ERROR if step == "load" else logging.CRITICAL
            records.say(self.logger, level, words, self.path, step, trace)

    def described(self):
        """What the daemon has to know of it."""
        return {
            "key": self.key,
            "name": self.name,
            "path": self.path,
            "problem": self.problem,
            "again": self.again,
            "emails": self.emails,
            "scripts": self.scripts,
            "callbacks": [callback.described() for callback in self.callbacks],
        }


class Host(object):
    """All plugins of this worker."""

    def __init__(self, setup):
        self.setup = setup
        self.config = configuration(setup["config"])
        self.section = setup["section"]
        self.log_level = setup["log_level"]
        self.zone = values.local_zone()
        self.plugins = {}
        self.folder = os.getcwd()
        self.process = os.getpid()

    def connect(self, name, key):
        """A client of the site for a script."""
        try:
            Shotgun = worker.client_module().Shotgun
        except ImportError:
            if not self.setup.get("core"):
                raise
            from tank_vendor.shotgun_api3 import Shotgun

        proxy = (self.config.text(self.section, "proxy_server") or "").strip() or None
        server = self.config.get(self.section, "server")
        client = worker.asked(Shotgun, server, name, key, http_proxy=proxy)
        if self.setup.get("try_keys") and hasattr(client, "get_session_token"):
            client.get_session_token()
        return client

    def sync(self, files):
        """Loads what is new or has changed, drops what is gone. Returns the table of all plugins."""
        found = {}
        for file in files:
            plugin = self.plugins.get(file["key"])
            if plugin is None:
                plugin = Plugin(self, file["key"], file["path"])
            found[plugin.key] = plugin
            if plugin.stamp != file["stamp"] or plugin.again:
                plugin.load(file["stamp"])
                self.go_home()
        self.plugins = found
        return [as_text(plugin.described()) for plugin in found.values()]

    def go_home(self):
        """Back to the folder that the worker was started in, where a plugin has gone elsewhere."""
        try:
            if os.getcwd() == self.folder:
                return None
        except OSError:
            pass
        os.chdir(self.folder)
        return "it has changed the current folder, which was changed back"

    def run(self, plugin, callback, event):
        """Runs a callback. Returns what has become of it."""
        event = values.from_wire(event, self.zone)
        for field in values.FIELDS:
            # One out of a file may have less than the site gives.
            event.setdefault(field, None)
        event.setdefault("type", "EventLogEntry")
        told = {}
        begun = time.time()
        clock = time.monotonic()
        try:
            if not callback.wants(event):
                return {"skipped": True}
            if self.setup.get("session_uuid") and hasattr(callback.client, "set_session_uuid"):
                callback.client.set_session_uuid(event["session_uuid"])
            result = callback.function(callback.client, callback.logger, event, callback.args)
            if type(result).__name__ in ("generator", "coroutine", "async_generator"):
                callback.never_ran(result)
        except BaseException as error:
            if os.getpid() != self.process:
                # A child that the plugin has forked: it has nobody to answer to.
                os._exit(1)
            told["error"] = failure(callback, error)
            if type(error).__name__ == "TimeLimitReached":
                # Its time is up, or nobody wants it any more: no further callback is to run.
                raise
        if os.getpid() != self.process:
            os._exit(0)
        told.update(begun=begun, seconds=time.monotonic() - clock)
        note = self.go_home()
        if note:
            callback.logger.warning("After event %d: %s.", event["id"], note)
        return told


def failure(callback, error):
    """Logs what a callback has raised, and describes it."""
    trace = traceback.format_exc()
    frame = error.__traceback__.tb_next
    try:
        inside = pprint.pformat(frame.tb_frame.f_locals) if frame is not None else "none"
    except BaseException as second:
        inside = "cannot be told: %s" % type(second).__name__
    trace = shortened(records.plain(trace), LONGEST_TRACE)
    inside = shortened(records.plain(inside), LONGEST_LOCALS)
    words = "The callback raised.\n\n%s\nLocal variables of the plugin's frame:\n\n%s"
    records.say(callback.logger, logging.CRITICAL, words, trace, inside)
    try:
        message = records.plain(error)
    except BaseException as second:
        message = "<its __str__ raised %s>" % type(second).__name__
    message = shortened(message, LONGEST_MESSAGE)
    return {"type": type(error).__name__, "message": message, "traceback": trace, "locals": inside}


def shortened(text, longest):
    """The beginning and the end of a text that is long."""
    if len(text) <= longest:
        return text
    left_out, half = len(text) - longest, longest // 2
    return "%s [... %d characters left out ...] %s" % (text[:half], left_out, text[-half:])


_host = None


def sync(setup, files, fresh=False):
    """Makes the worker's plugins those of the files: `[{key, path, stamp}]`. `fresh` forgets all that was
    loaded.
    """
    global _host
    if _host is None or fresh or _host.setup != setup:
        worker.start(setup)
        _host = Host(setup)
    return {"pid": os.getpid(), "python": sys.version.split()[0], "plugins": _host.sync(files)}


#: Notes by path: how far this worker is with events that it was given together, for whoever comes after it.
#: Numbers of one byte each, which no crash can leave half written.
_notes = {}
DONE, BEGUN, CALLBACK, STOP = range(4)


def notes_at(path):
    """The file, mapped."""
    if path not in _notes:
        with open(path, "r+b") as file:
            _notes[path] = mmap.mmap(file.fileno(), STOP + 1)
    return _notes[path]


def is_loaded(key, stamp, index):
    """Whether a plugin is loaded as of `stamp`, and has so many callbacks."""
    plugin = _host.plugins.get(key) if _host is not None else None
    return plugin is not None and plugin.stamp == stamp and index < len(plugin.callbacks)


def run_all(path, budget, stamps, events, items, loads):
    """Runs callbacks for events, `[place in events, plugin, callbacks]`, until one raises or the time is
    over.

    `loads`: what `sync` is given. A process that is new loads it first: a call between the two could find
    another one again.
    """
    wanted = [(key, stamps[key], max(indexes)) for _, key, indexes in items]
    if not all(is_loaded(*one) for one in wanted):
        sync(*loads)
        if not all(is_loaded(*one) for one in wanted):
            return {"stale": True}
    notes, done = notes_at(path), []
    end = time.monotonic() + budget
    for number, (place, key, indexes) in enumerate(items):
        notes[BEGUN] = number + 1
        if notes[STOP]:
            break
        callbacks = _host.plugins[key].callbacks
        answers, failed = [], False
        for position, index in enumerate(indexes):
            notes[CALLBACK] = min(position, 255)
            callback = callbacks[index]
            answer = _host.run(_host.plugins[key], callback, events[place])
            answers.append(answer)
            if "error" in answer:
                failed = True
                if callback.stop_on_error:
                    break
        if failed:
            return {"done": done, "failed": answers}
        notes[DONE] = number + 1
        done.append(
            [None if "skipped" in answer else [answer["begun"], answer["seconds"]] for answer in answers]
        )
        if time.monotonic() >= end:
            break
    return {"done": done}


def run(key, stamp, index, event, loads):
    """Runs one callback of a plugin that was loaded as of `stamp`; `loads` as for `run_all`."""
    if not is_loaded(key, stamp, index):
        sync(*loads)
        if not is_loaded(key, stamp, index):
            return {"stale": True}
    plugin = _host.plugins[key]
    return _host.run(plugin, plugin.callbacks[index], event)
