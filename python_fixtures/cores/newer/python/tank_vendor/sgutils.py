"""A module of `tank_vendor` itself: the finder is asked first and tries a top-level `sgutils`."""

CORE_VERSION = "@VERSION@"
