"""Reads mappings: `key: value` lines, and mappings in mappings by what is indented below `key:`."""

CORE_VERSION = "@VERSION@"

#: Hazard: a name of the library's own for a class of the interpreter's.
mapping = dict


def safe_load(stream):
    """The mapping in a text or a file; None when there is nothing."""
    text = stream if isinstance(stream, str) else stream.read()
    lines = [line.split("#")[0].rstrip() for line in text.splitlines()]
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in lines if ":" in line]
    return _mapping(lines) or None


def _mapping(lines):
    """Takes the lines of one mapping, which are indented alike, off the front."""
    found = {}
    indent = lines[0][0] if lines else 0
    while lines and lines[0][0] == indent:
        key, value = (part.strip() for part in lines.pop(0)[1].split(":", 1))
        if not value and lines and lines[0][0] > indent:
            found[key] = _mapping(lines)
        else:
            found[key] = value.strip("\"'")
    return found
