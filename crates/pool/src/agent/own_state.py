"""The import state of the worker's project: what a call does to it is seen when the call ends, and undone.

Project code may bootstrap another project by itself, purge `sgtk` and import another core, or rewrite
`sys.path`. In a worker nobody else would put that right, and every later call would get another project's
core.
"""

import builtins
import logging
import os
import sys

_cores = part("cores")

CURRENT_PC = b"TANK_CURRENT_PC"

#: After how many other cores a worker is replaced: what is known to keep one of them alive is undone, and
#: this is the bound for what is not.
OTHER_CORES = 100

#: The loggers that cores add handlers to.
LOGGERS = ("sgtk", "tank", "")


def version_tag(mapping):
    """A number that changes with each change of a dictionary, as an object with `value`. None where this
    Python has none.
    """
    try:
        import ctypes

        def tag_of(mapping):
            # After the object's head: the number of items, and then the tag.
            place = id(mapping) + object.__basicsize__ + ctypes.sizeof(ctypes.c_ssize_t)
            return ctypes.c_uint64.from_address(place)

        if sys.implementation.name != "cpython" or sys.version_info >= (3, 14):
            return None
        trial = {"a": 1}
        tag = tag_of(trial)
        seen = [tag.value]
        for value in (2, object(), 3):
            trial["a"] = value
            trial.get("a")
            seen.append(tag.value)
        del trial["a"]
        seen.append(tag.value)
        return tag_of(mapping) if len(set(seen)) == len(seen) and tag.value == seen[-1] else None
    except Exception:
        return None


class OwnState(object):
    """What the project has of the interpreter, as it was when the last call left it in order."""

    def __init__(self, core, has_engine):
        """`core` is the `install/core` folder of the core that is loaded."""
        self.core = {os.path.abspath(core), os.path.realpath(core)}
        self.has_engine = has_engine
        self.tank = sys.modules["tank"]
        self.modules = sys.modules
        self.tag = version_tag(self.modules)
        self.told = set()
        # What the core's own module has the current engine in, while another one may be started.
        self.aside = None
        self.is_destroyed = False
        self.other_cores = 0
        if has_engine:
            self.let_others_bootstrap()
        self.note()

    def let_others_bootstrap(self):
        """Has the core bootstrap further engines, as a process without one does: it refuses a second one as
        long as the first is the current one.
        """
        manager = self.tank.bootstrap.ToolkitManager
        engine = self.engine()

        def around(original):
            def bootstrap_engine(*args, **kwargs):
                self.set_aside()
                # It may rewrite the very folder that the engine has.
                part("bootstrap").suspend_watch()
                return original(*args, **kwargs)

            return bootstrap_engine

        def destroy(*args, **kwargs):
            self.is_destroyed = True
            return type(engine).destroy(engine, *args, **kwargs)

        for name in ("bootstrap_engine", "bootstrap_engine_async"):
            setattr(manager, name, around(getattr(manager, name)))
        engine.destroy = destroy

    def set_aside(self):
        """Has the core believe that there is no engine."""
        engine = self.engine()
        if engine is None or self.aside is not None:
            return
        names = sys.modules["tank.platform.engine"].__dict__
        for name, value in list(names.items()):
            if value is engine:
                self.aside = names, name, engine, _cores.threads()
                names[name] = None
                return

    def restore_engine(self, found):
        """Ends an engine that was left, and has the own one be the current one. Returns whether that is so.
        """
        if self.aside is None:
            is_there = self.engine() is not None
            if is_there == self.has_engine:
                return True
            if is_there:
                found.append("an engine was left running")
                return _cores.destroy(self.tank, found)
        else:
            names, name, engine, threads = self.aside
            self.aside = None
            if self.engine() is not None:
                found.append("an engine was left running")
                if not _cores.destroy(self.tank, found):
                    return False
            names[name] = engine
            own = {id(module.__dict__) for module in self.own.values() if hasattr(module, "__dict__")}
            if not _cores.end_threads(own, found, threads):
                return False
        if self.is_destroyed or self.engine() is None:
            found.append("its engine was destroyed")
            return False
        return True

    def note(self):
        """Takes what is there as the project's."""
        self.version = self.tag and self.tag.value
        self.all = dict(self.modules)
        self.own = {name: module for name, module in self.all.items() if self.is_own(name, module)}
        self.note_names()
        self.path = sys.path
        self.entries = list(sys.path)
        self.finders = list(sys.meta_path)
        self.importer = builtins.__import__
        self.attributes = {name: value for name, value in vars(sys).items() if _cores.is_of_a_core(value)}
        self.current_pc = os.environ._data.get(CURRENT_PC)
        self.logger_names = set(logging.Logger.manager.loggerDict)
        self.loggers = []
        for name in LOGGERS:
            logger = logging.getLogger(name)
            self.loggers.append((logger, list(logger.handlers), logger.propagate, logger.level))

    def note_names(self):
        """Takes the names in the core's top modules as they are, each module's once."""
        top = {}
        for name, module in self.own.items():
            if _cores.top(name) in ("tank", "sgtk") and name.count(".") < 2 and hasattr(module, "__dict__"):
                told = module.__dict__.get("__name__", name)
                top.setdefault(id(module.__dict__), (told, module.__dict__))
        # A few more than cores have.
        self.names = [(name, names, dict(names)) for name, names in list(top.values())[:32]]
        self.top = [names for _, names, _ in self.names]
        self.sizes = list(map(len, self.top))

    def restore_names(self, found):
        """Puts names back that the call has taken out of the core's top modules."""
        for module, names, known in self.names:
            lost = [name for name in known if name not in names]
            if any(_cores.is_needed(name, known[name]) for name in lost):
                names.update((name, known[name]) for name in lost)
                told = ", ".join("'%s'" % name for name in lost[:5])
                more = ", and %d more" % (len(lost) - 5) if len(lost) > 5 else ""
                found.append("%s was taken from its core's module '%s'%s" % (told, module, more))

    def is_in_order(self):
        """Whether nothing has changed that has to be looked at. Asked after each call."""
        tag = self.tag
        return (
            tag is not None
            and tag.value == self.version
            and list(map(len, self.top)) == self.sizes
            and sys.modules is self.modules
            and sys.path is self.path
            and sys.path == self.entries
            and sys.meta_path == self.finders
            and getattr(builtins, "__import__", None) is self.importer
            and os.environ._data.get(CURRENT_PC) == self.current_pc
            and (self.engine() is not None) == self.has_engine
            and self.aside is None
        )

    def engine(self):
        """The current engine of the project's core."""
        return _cores.engine_of(self.tank)

    def is_own(self, name, module):
        """Whether a module is the project's core's, or of a library that the core brings."""
        file = _cores.file_of(module)
        return _cores.top(name) in _cores.TOOLKIT or file is not None and self.is_in_core(file)

    def is_in_core(self, path):
        """Whether a path is in the core's folder."""
        return any(path.startswith(core + os.sep) for core in self.core)

    def put_right(self):
        """Undoes what is not in order. Returns what that was, as a list of sentences, and whether the worker
        can go on.
        """
        if sys.modules is not self.modules:
            # The import system goes on with the first one.
            self.modules.update(sys.modules)
            sys.modules = self.modules
        found, can_go_on = [], True
        self.restore_names(found)
        if getattr(builtins, "__import__", None) is not self.importer:
            found.append("builtins.__import__ was replaced")
            builtins.__import__ = self.importer
        foreign = self.foreign_modules()
        lost = [name for name, module in self.own.items() if self.modules.get(name) is not module]
        cores = _cores.among(foreign.values(), self.tank)
        if lost or foreign:
            found.append(_cores.told(cores) if cores else "its core's modules were purged or replaced")
            can_go_on = self.end_cores(cores, foreign, found)
            self.bring_back(foreign, cores)
        has_bootstrapped = bool(lost or foreign or self.aside)
        can_go_on = self.restore_engine(found) and can_go_on
        if has_bootstrapped:
            self.restore_loggers()
        # Of another core that is told already.
        details = [] if cores else found
        self.restore_path(cores, details)
        self.restore_finders(details)
        if os.environ._data.get(CURRENT_PC) != self.current_pc:
            found.append("TANK_CURRENT_PC was changed")
            if self.current_pc is None:
                os.environ.pop(os.fsdecode(CURRENT_PC), None)
            else:
                os.environ[os.fsdecode(CURRENT_PC)] = os.fsdecode(self.current_pc)
        part("bootstrap").watch_again()
        if lost or foreign:
            names = {id(module.__dict__) for module in foreign.values() if hasattr(module, "__dict__")}
            names.difference_update(id(getattr(module, "__dict__", None)) for module in self.own.values())
            _cores.take_out(self.own.values(), names)
            _cores.forget_loggers(self.logger_names)
            roots = tuple(core + os.sep for core in cores.values())
            foreign = cores = None
            _cores.forget(roots)
            can_go_on = can_go_on and all(self.modules.get(name) is one for name, one in self.own.items())
            self.other_cores += 1
            if self.other_cores == OTHER_CORES:
                found.append("%d other cores have been in place" % OTHER_CORES)
                can_go_on = False
        self.note()
        return found, can_go_on

    def foreign_modules(self):
        """Modules of other cores, and copies of the own one, by name."""
        found = {}
        for name, module in list(self.modules.items()):
            if self.all.get(name) is module:
                continue
            file = _cores.file_of(module)
            if _cores.top(name) in _cores.TOOLKIT:
                # Late imports of the own core are none.
                is_late = name not in self.own and (file is None or self.is_in_core(file))
                if not is_late or self.modules.get("tank") is not self.tank:
                    found[name] = module
            elif name.startswith(_cores.SET_ASIDE):
                found[name] = module
        cores = _cores.among(found.values(), self.tank)
        for name, module in list(self.modules.items()):
            if name in found or self.all.get(name) is module:
                continue
            file = _cores.file_of(module)
            if file is not None and any(file.startswith(core + os.sep) for core in cores.values()):
                found[name] = module
            elif name in self.own and file is not None and self.is_in_core(file):
                found[name] = module
        return found

    def end_cores(self, cores, foreign, found):
        """Destroys the engines of other cores. Returns whether nothing of theirs is running any more."""
        ended = True
        for tank in cores:
            if _cores.engine_of(tank) is not None:
                found.append("an engine of it was left running")
                ended = _cores.destroy(tank, found) and ended
            _cores.end_log_file(tank)
        own = {id(module) for module in self.own.values()}
        names = {
            id(one.__dict__) for one in foreign.values() if id(one) not in own and hasattr(one, "__dict__")
        }
        return _cores.end_threads(names, found) and ended

    def bring_back(self, foreign, cores):
        """Puts the own modules in place of the foreign ones, wherever other modules have those by name."""
        kept = {id(module) for module in self.own.values()}
        gone = {id(module): module for module in foreign.values() if id(module) not in kept}
        for name, module in foreign.items():
            if self.modules.get(name) is module:
                del self.modules[name]
        self.modules.update(self.own)
        for name, module in list(self.modules.items()):
            names = getattr(module, "__dict__", None)
            if name in self.own or not isinstance(names, dict):
                continue
            for key, value in list(names.items()):
                if id(value) in gone:
                    own = self.own.get(getattr(value, "__name__", None))
                    if own is not None:
                        names[key] = own
                elif name not in self.all and _cores.is_of(value, gone):
                    # It was imported while another core was in place, and has taken something of that.
                    self.modules.pop(name, None)
                    break
        for name, value in list(vars(sys).items()):
            if name not in self.attributes and _cores.is_of_a_core(value):
                delattr(sys, name)
        for name, value in self.attributes.items():
            setattr(sys, name, value)

    def restore_loggers(self):
        """Has the loggers have the handlers that they had, and others that are not Toolkit's."""
        for logger, handlers, propagate, level in self.loggers:
            others = [handler for handler in logger.handlers if handler not in handlers]
            logger.handlers[:] = handlers + [handler for handler in others if not _cores.is_toolkits(handler)]
            for handler in others:
                if _cores.is_toolkits(handler):
                    _cores.quietly(handler.close)
            logger.propagate = propagate
            logger.setLevel(level)

    def restore_path(self, cores, found):
        """Has `sys.path` be what it was. What was added stays, each once, unless it is a core's or other
        entries were taken away.
        """
        if sys.path is self.path and sys.path == self.entries:
            return
        entries = []
        for entry in sys.path:
            if entry not in entries and (entry in self.entries or not _cores.has_core(entry, cores)):
                entries.append(entry)
        missing = [entry for entry in self.entries if entry not in entries]
        if missing:
            found.append("%s was taken from sys.path" % missing[0])
            entries = self.entries
        elif [entry for entry in entries if entry in self.entries] != self.entries:
            found.append("sys.path was put in another order")
            entries = self.entries
        elif len(entries) < len(sys.path) and any(entry not in entries for entry in sys.path):
            found.append("another core was left on sys.path")
        self.path[:] = entries
        sys.path = self.path

    def restore_finders(self, found):
        """Has `sys.meta_path` be what it was, with what was added that is no core's."""
        if sys.meta_path == self.finders:
            return
        others = [one for one in sys.meta_path if one not in self.finders]
        toolkits = [one for one in others if _cores.is_toolkits(one)]
        missing = [one for one in self.finders if one not in sys.meta_path]
        if missing:
            found.append("a finder was taken from sys.meta_path")
            sys.meta_path[:] = self.finders + [one for one in others if one not in toolkits]
        elif toolkits:
            found.append("a finder of Toolkit's was left on sys.meta_path")
            sys.meta_path[:] = [one for one in sys.meta_path if one not in toolkits]
