"""Names that the other modules share."""

CORE_VERSION = "@VERSION@"

ROOT_LOGGER = "sgtk"
STORAGE_ROOTS_FILE = "roots.yml"
