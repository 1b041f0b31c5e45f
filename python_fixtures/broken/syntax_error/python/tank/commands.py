"""Cut off in the middle of a definition."""

CORE_VERSION = "@VERSION@"


def get_command(name
