"""What the client brings along."""

CORE_VERSION = "@VERSION@"
