"""The app's package, under a name that is made up when it is loaded."""

from . import payload
