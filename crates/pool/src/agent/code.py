"""Has imports take compiled code of a core and its plugins from the store.

Python keeps none for sources in zips, and takes what lies beside a source for it by size and second.
"""

import _frozen_importlib_external as importer
import gc
import os
import sys

#: Whether imports look there. A forked worker has it from its template.
_is_looked_up = False


def start():
    """Has sources that are imported from now on be looked up there."""
    global _is_looked_up
    store, unsafe = part("store").store, part("store").unsafe
    if unsafe:
        part("records").logging.getLogger("sgtk_host.code").warning("compiled code is not used: %s", unsafe)
    if store is not None and not _is_looked_up:
        _is_looked_up = True
        _look_up_in_folders(store)
        _look_up_in_zips(store)


def age():
    """Has what there is count as old for the collector, or its first look would be at all of it: both steps
    only join lists. What somebody has frozen stays so.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()


def import_core(core, do_import):
    """
    Imports the core whose `python` folder is `core`, with the code of the functions that `dataclasses` writes
    as text from one piece on disk, as the daemon keeps it: a newer core has two hundred data classes.
    """
    # What an import makes is there to stay: looking for garbage in it takes a third of the time.
    threshold = gc.get_threshold()
    gc.set_threshold(0)
    try:
        store = part("store").store
        if store is None:
            do_import()
        else:
            _with_texts(store, core, do_import)
    finally:
        if gc.get_threshold()[0] == 0:
            age()
            gc.set_threshold(*threshold)


def _with_texts(store, core, do_import):
    key = store.digest(("dataclasses of " + core).encode("utf-8", "surrogateescape")).digest()
    known = store.read(key.hex(), key)
    is_kept = type(known) is dict
    if is_kept and not known:
        # An older core without data classes needs no `dataclasses` loaded for it.
        do_import()
        if "dataclasses" in sys.modules:
            store.write(key.hex(), key, None)
        return
    import dataclasses

    known = known if is_kept else {}
    used, new = {}, []

    def execute(source, globals=None, locals=None):
        if type(source) is str:
            text, source = source, known.get(source)
            if source is None:
                source = known[text] = compile(text, "<string>", "exec", 0, True)
                new.append(text)
            used[text] = source
        exec(source, globals, locals)

    dataclasses.exec = execute
    try:
        do_import()
    finally:
        del dataclasses.exec
    if new or not is_kept:
        store.write(key.hex(), key, used)


def _look_up_in_folders(store):
    loader = importer.SourceFileLoader
    own, source_to_code = loader.get_code, loader.source_to_code

    def get_code(self, fullname):
        # What a loader does on its own to sources is in no key.
        if type(self).source_to_code is not source_to_code:
            return own(self, fullname)
        path = self.get_filename(fullname)
        if _is_installed(path):
            return own(self, fullname)
        try:
            source = self.get_data(path)
        except OSError:
            return own(self, fullname)
        return store.code(path, source, lambda: self.source_to_code(source, path))

    loader.get_code = get_code


def _look_up_in_zips(store):
    import zipimport

    # Python 3.7 has it in C.
    own = getattr(zipimport, "_compile_source", None)
    if own is None:
        return

    def compile_source(path, source):
        return store.code(path, source, lambda: own(path, source))

    zipimport._compile_source = compile_source


def _is_installed(path):
    """Whether the source is this Python's own or a package's, which has compiled code beside it."""
    return path.startswith(_STANDARD) or "site-packages" in path or "dist-packages" in path


_STANDARD = os.path.dirname(os.__file__) + os.sep
