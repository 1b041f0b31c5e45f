"""In older cores only: later ones dropped Python 2."""

CORE_VERSION = "@VERSION@"


def text(value):
    """The value as text."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
