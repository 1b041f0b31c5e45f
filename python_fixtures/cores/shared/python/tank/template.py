"""Path templates: `{name}` stands for a field."""

import re

from .errors import TankError

CORE_VERSION = "@VERSION@"


class Template(object):
    """A path with fields."""

    def __init__(self, definition):
        self.definition = definition
        self.keys = re.findall(r"{(\w+)}", definition)

    def apply_fields(self, fields):
        """The path for these fields."""
        missing = [key for key in self.keys if key not in fields]
        if missing:
            raise TankError("missing fields: %s" % ", ".join(missing))
        return re.sub(r"{(\w+)}", lambda match: str(fields[match.group(1)]), self.definition)
