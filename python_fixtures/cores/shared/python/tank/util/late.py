"""Imports that run long after the core was imported, perhaps on another thread, perhaps when the core is
parked.

Hazard: at that moment `sys.modules` may hold another core's `tank`. Each function returns the version that is
baked into the module it got: it must be `CORE_VERSION`.
"""

import importlib

CORE_VERSION = "@VERSION@"


def from_absolute():
    """`from tank.x import name`"""
    from tank.late_a import CORE_VERSION as got

    return got


def from_relative():
    """`from .. import x`"""
    from .. import late_b

    return late_b.CORE_VERSION


def absolute():
    """`import tank.x`, which binds `tank`."""
    import tank.late_c

    return tank.late_c.CORE_VERSION


def by_importlib():
    """`importlib.import_module`, which does not go through `builtins.__import__`."""
    return importlib.import_module("tank.late_d").CORE_VERSION


def by_importlib_relative():
    """A relative name for `importlib.import_module`."""
    return importlib.import_module("...late_d", __name__).CORE_VERSION


def by_alias():
    """`from sgtk.x import name`: a second copy of the module, under the other name."""
    from sgtk.late_e import CORE_VERSION as got

    return got


def the_core():
    """`import sgtk`, loaded long ago."""
    import sgtk

    return sgtk.CORE_VERSION


def nested():
    """A package none of whose modules were loaded."""
    import tank.deferred.outer.inner as inner

    return inner.CORE_VERSION


def star():
    """`from x import *` in code that is compiled at run time with these globals' names."""
    scope = {"__name__": __name__, "__package__": __package__, "__spec__": __spec__}
    exec("from tank.late_a import *", scope)
    return scope["VALUE"]


def deeper():
    """A late import by a module that was itself imported late."""
    import tank.deferred.outer.inner as inner

    return inner.deeper()


def vendored():
    """A module of a vendored library that nothing imported yet."""
    from tank_vendor.shotgun_api3.lib import mimetypes

    return mimetypes.CORE_VERSION


#: The functions whose import statement goes through `builtins.__import__` with the globals of a module of
#: this core.
THROUGH_BUILTIN = (
    "from_absolute",
    "from_relative",
    "absolute",
    "by_alias",
    "the_core",
    "nested",
    "deeper",
    "vendored",
)
#: The others: `importlib` called by name, and code run with globals of its own.
AROUND_BUILTIN = ("by_importlib", "by_importlib_relative", "star")


#: Not in the tuples: `late_finder`, as its outcome depends on the host, and `gated`, which waits.


def late_finder():
    """Loads `six` where the core did not: it appends a finder to `sys.meta_path`.

    A newer core's finder is asked first, and takes the host's `six` if there is one.
    """
    from tank_vendor import six

    return six.CORE_VERSION


def gated():
    """A module whose import waits for `fixture_gate.proceed`: it is half loaded until then."""
    from tank import late_gated

    return late_gated.CORE_VERSION


def late_until(stop, names=THROUGH_BUILTIN):
    """Imports late again and again until the event `stop` is set: how often, and what was wrong."""
    rounds, wrong = 0, []
    while not stop.is_set():
        for name, version in late(*names).items():
            if version != CORE_VERSION:
                wrong.append((name, version))
        rounds += 1
    return rounds, wrong


def late(*names):
    """Runs the functions of these names (`THROUGH_BUILTIN` when none is given): the version that each got."""
    return {name: globals()[name]() for name in names or THROUGH_BUILTIN}
