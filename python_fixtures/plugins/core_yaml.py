"""Reads a file with the YAML library of the core.

Hazard: a newer core has it under its real name, where the daemon's or another core's may be instead.
"""

import os

import sgtk
from tank_vendor import yaml


def registerCallbacks(reg):
    """Called by the daemon when it has loaded the file."""
    reg.registerCallback(
        "core_yaml", "not-a-real-key", core_yaml, {"Shotgun_Task_Change": None}, {"key": "project_name"}
    )


def core_yaml(sg, logger, event, args):
    """Returns a setting of the project's configuration (None where the environment names none) and the
    library.
    """
    setting = None
    configuration = os.environ.get("TANK_CURRENT_PC")
    if configuration:
        with open(os.path.join(configuration, "config", "core", "pipeline_configuration.yml")) as stream:
            setting = yaml.safe_load(stream)[args["key"]]
    logger.info("event %d: %s by %s", event["id"], setting, yaml.__version__)
    return {"version": sgtk.__version__, "yaml": yaml.CORE_VERSION, args["key"]: setting}
