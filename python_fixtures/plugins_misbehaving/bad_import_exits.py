"""Exits while it is being imported."""

import sys

sys.exit("no licence for this plugin")
