"""A module of the daemon about Toolkit, not of Toolkit."""

state = {"calls": 0}


def current_version():
    """The version of the core that an import finds here and now."""
    import sgtk

    state["calls"] += 1
    return sgtk.__version__
