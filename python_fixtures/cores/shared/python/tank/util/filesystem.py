"""Folders: where things are kept for a user, and moving them into place."""

import os
import shutil
from urllib.parse import urlparse

from ..errors import TankError

CORE_VERSION = "@VERSION@"


def home():
    """The folder for all that is kept; `SHOTGUN_HOME` names it, as these are fixtures and no home should get
    it.
    """
    if not os.environ.get("SHOTGUN_HOME"):
        raise TankError("SHOTGUN_HOME names no folder")
    return os.environ["SHOTGUN_HOME"]


def configuration_root(site, project_id, plugin_id, configuration_id):
    """Where a configuration is kept.

    Hazard: sites are told apart by their host alone, not by its port.
    """
    name = "p%s" % project_id if project_id is not None else "site"
    if configuration_id is not None:
        name += "c%s" % configuration_id
    return os.path.join(home(), urlparse(site).hostname or "none", "%s.%s" % (name, plugin_id), "cfg")


def replace_folder(source, target):
    """Makes `target` a copy of `source`, which is what a path descriptor costs each time.

    Hazard: whoever runs from there finds other files, without bytecode.
    """
    if os.path.exists(target):
        shutil.rmtree(target)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
