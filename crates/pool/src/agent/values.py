"""Results as JSON: how other objects are translated, and which value cannot be encoded.

The search for that value is made only after the encoder has failed.
"""

import sys

ADVICE = {
    "bytes": "decode it, or encode it as base64 text",
    "bytearray": "decode it, or encode it as base64 text",
    "memoryview": "decode it, or encode it as base64 text",
    "timedelta": "use total_seconds()",
    "Decimal": "use str() or float()",
    "Fraction": "use str() or float()",
    "complex": "use a list of two floats",
    "UUID": "use str()",
    "generator": "use list()",
    "map": "use list()",
    "filter": "use list()",
    "zip": "use list()",
    "range": "use list()",
    "deque": "use list()",
    "dict_keys": "use list()",
    "dict_values": "use list()",
    "dict_items": "use list()",
    "mappingproxy": "use dict()",
    "coroutine": "run it, with asyncio.run() for instance",
    "function": "call it",
    "method": "call it",
}


def translate(value):
    """Translates an object that the encoder does not know. Raises TypeError if it has no translation."""
    if isinstance(value, (set, frozenset)):
        try:
            return sorted(value)
        except Exception:
            return list(value)
    datetime = sys.modules.get("datetime")
    if datetime is not None and isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    pathlib = sys.modules.get("pathlib")
    if pathlib is not None and isinstance(value, pathlib.PurePath):
        return str(value)
    raise TypeError("a value of type %s is not JSON: %s" % (name_of(value), advice(value)))


def name_of(value):
    """The name of the value's class, with its module unless that is `builtins`."""
    kind = type(value)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else "%s.%s" % (module, kind.__qualname__)


def advice(value):
    """What to return instead of a value that cannot be sent."""
    for kind in type(value).__mro__:
        if kind.__name__ in ADVICE:
            return ADVICE[kind.__name__]
        if kind.__name__ == "Enum":
            return "use its value or its name"
    return "return what is needed of it as numbers, text, lists and dictionaries"


def find_fault(result, error):
    """The first value in `result` that cannot be sent, as (place, reason); `error` is what the encoder
    raised.
    """
    try:
        found = _first_fault(result)
    except BaseException as other:
        found = None
        error = other
    if found is None:
        found = "result", "%s: %s" % (type(error).__name__, part("errors").message(error))
    return {"place": part("errors").clean(found[0]), "reason": part("errors").clean(found[1])}


class _EndOfContainer:
    """On the stack of the search: the end of a container."""

    def __init__(self, identity):
        self.identity = identity


def _first_fault(result):
    """In the encoder's order, without recursion, as the result may be nested more deeply than the stack
    allows.
    """
    inside = set()
    kept = []
    stack = [("result", result, 0)]
    while stack:
        place, value, depth = stack.pop()
        if place is _EndOfContainer:
            inside.discard(value)
            continue
        reason = _fault_of_scalar(value)
        if reason is not None:
            return _shortened(place), reason
        children = _children(place, value)
        if children is None:
            continue
        if isinstance(children, _Fault):
            return _shortened(children.place), children.reason
        if id(value) in inside:
            return _shortened(place), "the %s contains itself" % type(value).__name__
        if depth >= DEEPEST:
            return _shortened(place), "it is nested more than %d deep" % DEEPEST
        inside.add(id(value))
        # Keeps translated values alive, so that their identity stays unique.
        kept.append(value)
        stack.append((_EndOfContainer, id(value), depth))
        stack.extend((place, value, depth + 1) for place, value in reversed(children))
    return None


#: The level at which the search stops. The encoder stops at Python's recursion limit.
DEEPEST = 100000


class _Fault:
    def __init__(self, place, reason):
        self.place = place
        self.reason = reason


def _fault_of_scalar(value):
    if isinstance(value, str):
        return _fault_of_text(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return "%r is not JSON: use None, or text" % float(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        try:
            int.__repr__(value)
        except ValueError as error:
            return "the integer has too many digits: %s" % error
    return None


def _fault_of_text(text):
    try:
        str.encode(text)
    except UnicodeEncodeError as error:
        lone = ascii(text[error.start])
        return "the text has a lone surrogate, %s, at index %d, which UTF-8 has not" % (lone, error.start)
    return None


def _children(place, value):
    """The values inside with their places; None for scalars; a fault if the value itself cannot be sent."""
    if value is None or isinstance(value, (str, int, float)):
        return None
    if isinstance(value, dict):
        children = []
        for key, item in value.items():
            fault = _fault_of_key(key)
            if fault:
                return _Fault(place, fault)
            children.append(("%s[%s]" % (place, _key(key)), item))
        return children
    if isinstance(value, (list, tuple)):
        return [("%s[%d]" % (place, index), item) for index, item in enumerate(value)]
    try:
        translated = translate(value)
    except TypeError as error:
        return _Fault(place, str(error))
    if isinstance(translated, list):
        # Items of a set have no index.
        return [("%s{%s}" % (place, _key(item)), item) for item in translated]
    reason = _fault_of_scalar(translated)
    return _Fault(place, reason) if reason else None


def _fault_of_key(key):
    if isinstance(key, str):
        reason = _fault_of_text(key)
        return "the key %s: %s" % (_key(key), reason) if reason else None
    if key is None or isinstance(key, (int, float)):
        reason = _fault_of_scalar(key)
        return "the key %s: %s" % (_key(key), reason) if reason else None
    return "the key %s is of type %s: keys are text, numbers, booleans or None" % (_key(key), name_of(key))


def _key(key):
    try:
        text = ascii(key)
    except Exception:
        text = "<%s>" % name_of(key)
    return text if len(text) <= 60 else text[:57] + "..."


def _shortened(place):
    return place if len(place) <= 300 else "%s ... %s" % (place[:140], place[-140:])
