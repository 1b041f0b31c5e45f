"""Workers that share a project's core in one process: each has plugins of its own, and a copy of `plugins.py`
for them.
"""

import importlib.util
import json

_copies = {}


def copy_for(worker):
    """The module `plugins` of a worker, made when it is first asked for."""
    if worker not in _copies:
        spec = importlib.util.find_spec("sgtk_eventd.plugins")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _copies[worker] = module
    return _copies[worker]


def call(worker, function, arguments):
    """Calls a function of it with arguments in JSON; its result as JSON in UTF-8."""
    result = getattr(copy_for(worker), function)(*json.loads(arguments))
    return json.dumps(result, ensure_ascii=False, default=str).encode("utf-8", "replace")
