"""The app's code."""


def late():
    """The version of the core that an import gets."""
    import tank.late_c

    return tank.late_c.CORE_VERSION
