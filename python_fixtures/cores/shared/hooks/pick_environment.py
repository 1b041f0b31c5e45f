"""Which environment a context is for."""

import sgtk

CORE_VERSION = "@VERSION@"


class PickEnvironment(sgtk.Hook):
    """Run before an engine starts."""

    def execute(self, context):
        return "project" if context.project else "site"
