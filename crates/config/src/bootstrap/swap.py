"""Puts a configuration's core in place of the one that a bootstrap has started from."""

import os
import sys

# Modules of swapped cores whose code may still be running.
_swapped = []


def _replace_swap(swap_core, enter, site_timeout, errors, learn=None):
    """Toolkit's own swap leaves the first core's libraries and finders to the second. This one's replaces it.
    """
    from tank.bootstrap.import_handler import CoreImportHandler

    def swap(core_path):
        import tank

        enter("swap core")
        suspend_watch()
        log_file = tank.LogManager().uninitialize_base_file_handler()
        swap_core(core_path)
        # The new one from here on.
        import tank

        if log_file and hasattr(tank.LogManager, "initialize_base_file_handler_from_path"):
            tank.LogManager().initialize_base_file_handler_from_path(log_file)
        limit_site_calls(site_timeout)
        learn_keys(learn)
        ask_nobody()
        errors.begin()
        enter("start core")

    CoreImportHandler.swap_core = staticmethod(swap)


def swap_in_this_process(core_path):
    """
    Puts a core in place of the one that is loaded, with libraries of its own.

    For a process with one project. What still runs of the core before finds the new one's modules when it
    imports, as after Toolkit's own swap.
    """
    import tank

    if not os.path.isdir(core_path):
        raise ValueError("the core's python folder %r does not exist" % (core_path,))
    old_python = os.path.dirname(os.path.dirname(os.path.abspath(tank.__file__)))
    old_core = os.path.dirname(old_python)

    def of_old_core(path):
        return any(
            path == place or path.startswith(place + os.sep)
            for core in {old_core, os.path.realpath(old_core)}
            for place in (os.path.join(core, "python"), os.path.join(core, "requirements"))
        )

    gone = []
    for name, module in sys.modules.copy().items():
        top = name.partition(".")[0]
        path = getattr(module, "__dict__", {}).get("__file__")
        if top in ("tank", "sgtk", "tank_vendor") or isinstance(path, str) and of_old_core(path):
            gone.append(sys.modules.pop(name))
    _swapped.append(gone)
    # Told by where a class says that it was made: a module's globals may name `dict` and the like as well.
    names = {getattr(module, "__dict__", {}).get("__name__") for module in gone}
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ not in names]
    for name in [name for name, value in vars(sys).items() if type(value).__module__ in names]:
        delattr(sys, name)
    sys.path[:] = [core_path] + [entry for entry in sys.path if not of_old_core(entry)]
    os.environ.pop("TANK_CURRENT_PC", None)
    # Both names, as a core's modules use either.
    __import__("sgtk")
    __import__("tank")


def forget_swapped():
    """Lets go of the cores that were swapped in this process: nothing of them runs any more."""
    del _swapped[:]
