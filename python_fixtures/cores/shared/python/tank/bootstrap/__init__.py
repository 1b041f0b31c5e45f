"""Finding a project's configuration and core, and starting an engine of it."""

from .errors import TankBootstrapError
from .manager import ToolkitManager

CORE_VERSION = "@VERSION@"
