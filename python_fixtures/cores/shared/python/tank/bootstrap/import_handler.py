"""Exchanges the core that runs for another one.

Hazards: the old core stays in `sys.modules` forever, under names with a new prefix each time; the finder that
is put at the head of `sys.meta_path` answers for `tank`, `sgtk` and `tank_vendor` from then on, whoever asks
and whatever is first on `sys.path`; libraries that have names of their own stay; this module stays too, so in
later cores it is the first one's; `warnings.filters` becomes another list than the one that the interpreter
looks at; if the new core can't be imported, the old one is gone all the same.
"""

import importlib.util
import os
import sys
import uuid
import warnings
from importlib.machinery import SourceFileLoader

from ..log import LogManager
from .swap_lock import swap_lock

CORE_VERSION = "@VERSION@"

log = LogManager.get_logger(__name__)


class CoreImportHandler(object):
    """A finder for the modules of one core."""

    NAMESPACES_TO_TRACK = ["tank", "sgtk", "tank_vendor"]

    core_version = CORE_VERSION

    @classmethod
    def swap_core(cls, core_path):
        """Puts the core whose `python` folder is `core_path` in the place of the one that runs, and imports
        `tank`.
        """
        handler = cls._in_place()
        # The core's singletons go with it, and so would the log file.
        from ..log import LogManager

        log_file = LogManager().uninitialize_base_file_handler()
        with swap_lock():
            handler._swap_core(core_path)
            filters = warnings.filters[:]
            warnings.simplefilter("ignore")
            try:
                import tank
            finally:
                warnings.filters = filters
        if log_file:
            tank.LogManager().initialize_base_file_handler_from_path(log_file)

    @classmethod
    def _in_place(cls):
        """The finder that is there, or a new one for the running core."""
        for finder in sys.meta_path:
            if isinstance(finder, CoreImportHandler):
                return finder
        finder = cls(os.path.abspath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir)))
        sys.meta_path.insert(0, finder)
        return finder

    def __init__(self, core_path):
        self._core_path = core_path

    def __repr__(self):
        return "<CoreImportHandler for '%s'>" % self._core_path

    def _swap_core(self, core_path):
        """Renames all modules of the running core; imports go to the new one from now on."""
        if not os.path.exists(core_path):
            raise ValueError("no core at '%s'" % core_path)
        stash = "core_swap_%s_" % uuid.uuid4().hex
        for name in sorted(sys.modules, key=lambda name: -name.count(".")):
            if name != __name__ and name.split(".")[0] in self.NAMESPACES_TO_TRACK:
                module = sys.modules.pop(name)
                if module:
                    sys.modules[stash + name] = module
        self._core_path = core_path

    def find_spec(self, fullname, path=None, target=None):
        """A spec for a module of the core, from where its parent is; None for what others have to find."""
        parent, _, name = fullname.rpartition(".")
        if fullname.split(".")[0] not in self.NAMESPACES_TO_TRACK:
            return None
        folders = sys.modules[parent].__path__ if parent else [self._core_path]
        if not folders or ".zip" in list(folders)[0]:
            return None
        file = os.path.join(list(folders)[0], name)
        file = os.path.join(file, "__init__.py") if os.path.isdir(file) else file + ".py"
        if not os.path.isfile(file):
            return None
        return importlib.util.spec_from_loader(fullname, SourceFileLoader(fullname, file))
