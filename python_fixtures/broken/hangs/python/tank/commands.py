"""Waits in the middle of the import until somebody lets it go on: `fixture_gate` is a host's package."""

import fixture_gate

CORE_VERSION = "@VERSION@"

fixture_gate.entered.set()
fixture_gate.proceed.wait()
