"""What looks at the files of this process's engine, or of its core: see `OwnFiles`."""

import os
import sys

# The files of this process's engine, and what looks at them.
_watched = []
# The same while another core is in place.
_suspended = []
_watching = []


def own_files(engine, turn):
    """The engine's `OwnFiles`: its core's, and its configuration's where bootstraps rewrite that. Within the
    turn.
    """
    core = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(sys.modules["tank"].__file__))))
    path = os.path.abspath(pipeline_configuration_path(engine))
    folders = [core, path] if path == turn.folder else [core]
    label = _text(lambda: "%s (%s)" % (engine.context, engine.instance_name)) or engine.instance_name
    files = OwnFiles(label, folders)
    sys.meta_path.insert(0, files)
    return files


def _keep_own_files(engine, turn):
    """Has this process, which is one engine's, read nothing that another bootstrap has put into the engine's
    folders.
    """
    # A bootstrap before in this process had its own.
    del _suspended[:]
    _watched[:] = [own_files(engine, turn)]
    _watch_own_files()


def keep_own_core(core):
    """
    Has this process, which is one project's, read nothing that an upgrade has put into its core's folder.

    :param core: the core's `install/core` folder; None for a process that is to have another core.
    """
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in _watched]
    del _watched[:]
    if core is not None:
        files = OwnFiles(core, [core], _OF_A_CORE, newcomers=True)
        sys.meta_path.insert(0, files)
        _watched.append(files)
        _watch_own_files()


def suspend_watch():
    """
    Has the process read what is there, as another core takes the place of its own: project code bootstraps by
    itself, perhaps the very folder that the process's own engine has.
    """
    if _watched and not _suspended:
        _suspended[:], _watched[:] = _watched, ()
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in _suspended]


def watch_again():
    """Has the process keep its own files again, now that what project code has bootstrapped by itself is
    gone.
    """
    if _suspended:
        _watched[:], _suspended[:] = _suspended, ()
        sys.meta_path[:0] = [finder for finder in _watched if finder not in sys.meta_path]


def _watch_own_files():
    if _watching or not hasattr(sys, "addaudithook"):
        return

    def audit(event, args):
        if event in ("open", "os.listdir", "os.scandir") and args and isinstance(args[0], (str, bytes)):
            for files in _watched:
                if not files.has(os.fsdecode(args[0])):
                    continue
                if sys._getframe(1).f_globals.get("__name__") not in SHOWS_LINES:
                    files.check(event, *args)

    sys.addaudithook(audit)
    _watching.append(audit)
