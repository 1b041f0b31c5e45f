"""Reads `key: value` lines."""

CORE_VERSION = "@VERSION@"


def safe_load(stream):
    """The mapping in a text or a file; None when there is nothing."""
    text = stream if isinstance(stream, str) else stream.read()
    lines = [line.split("#")[0] for line in text.splitlines()]
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs} or None
