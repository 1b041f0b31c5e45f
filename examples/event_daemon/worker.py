"""The worker's half of the daemon: a project's plugins, and what they do about an event.

The rules are those of shotgunEvents, and of the daemon's own in-process half.
"""

import importlib
import logging
import os
import sys
import traceback

_plugins = None


class NoSite:
    """The `sg` of callbacks: any use of it is an error that says so."""

    def __getattr__(self, name):
        raise AttributeError("this daemon is connected to no site: there is no sg.%s" % name)


class Callback:
    def __init__(self, function, wanted, args, stop_on_error, logger):
        self.function, self.args, self.stop_on_error, self.logger = function, args, stop_on_error, logger
        self.name = getattr(function, "__name__", type(function).__name__)
        self.wanted = wanted and {
            kind: [names] if isinstance(names, str) else names for kind, names in wanted.items()
        }

    def wants(self, kind, attribute):
        if not self.wanted:
            return True
        if "*" not in self.wanted and kind not in self.wanted:
            return False
        names = self.wanted["*"] if "*" in self.wanted else self.wanted[kind]
        return names is None or "*" in names or attribute in names


class Registrar:
    """What `registerCallbacks(reg)` gets."""

    def __init__(self, project, plugin):
        self.logger = logging.getLogger("plugin.%s.%s" % (project, plugin))
        self.callbacks = []

    def getLogger(self):
        return self.logger

    def setEmails(self, *emails):
        pass

    def registerCallback(
        self, sgScriptName, sgScriptKey, callback, matchEvents=None, args=None, stopOnError=True
    ):
        if not callable(callback):
            raise TypeError("the callback must be a callable object")
        logger = self.logger.getChild(getattr(callback, "__name__", type(callback).__name__))
        self.callbacks.append(Callback(callback, matchEvents, args, stopOnError, logger))


class Plugin:
    def __init__(self, project, file):
        self.name = os.path.splitext(os.path.basename(file))[0]
        self.stopped = False
        self.module = importlib.import_module(self.name)
        found = getattr(self.module, "__file__", None)
        if found != file:
            raise ImportError("%r is %s: the name is taken, call %s otherwise" % (self.name, found, file))
        registrar = Registrar(project, self.name)
        if not hasattr(self.module, "registerCallbacks"):
            raise AttributeError("%s has no registerCallbacks" % file)
        self.module.registerCallbacks(registrar)
        self.callbacks = registrar.callbacks


def _failure(plugin, error):
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)
    )
    text = "".join(traceback.format_exception(kind, error, error.__traceback__)).rstrip()
    return {"plugin": plugin, "type": name, "message": str(error), "traceback": text}


def handle(sgtk, project, files, kind, attribute, event):
    """What the plugins did about an event, and which core they see."""
    global _plugins
    failures, callbacks, stopped = [], [], []
    fresh = _plugins is None
    if fresh:
        _plugins = []
        for file in files:
            try:
                _plugins.append(Plugin(project, file))
            except BaseException as error:
                failures.append(_failure(os.path.splitext(os.path.basename(file))[0], error))
    event.setdefault("event_type", kind)
    event.setdefault("attribute_name", attribute)
    for plugin in _plugins:
        wanted = [callback for callback in plugin.callbacks if callback.wants(kind, attribute)]
        if plugin.stopped:
            stopped += [plugin.name] if wanted else []
            continue
        for callback in wanted:
            try:
                callback.function(NoSite(), callback.logger, event, callback.args)
                callbacks.append(callback.name)
            except BaseException as error:
                failures.append(_failure(plugin.name, error))
                plugin.stopped = callback.stop_on_error
                if plugin.stopped:
                    break
    seen = [("'sgtk'", sgtk), ("'tank'", sys.modules.get("tank"))]
    seen += [
        ("'sgtk' of plugin %s" % plugin.name, getattr(plugin.module, "sgtk", None)) for plugin in _plugins
    ]
    cores = [
        {
            "what": what,
            "file": getattr(module, "__file__", None),
            "version": getattr(module, "__version__", None),
        }
        for what, module in seen
        if module is not None
    ]
    return {
        "fresh": fresh,
        "cores": cores,
        "callbacks": callbacks,
        "stopped": stopped,
        "failures": failures,
        "out_of_service": [plugin.name for plugin in _plugins if plugin.stopped],
    }
