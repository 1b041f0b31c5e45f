"""Needs a library that is nowhere, when the rest of the core is loaded."""

CORE_VERSION = "@VERSION@"

import a_library_that_is_nowhere
