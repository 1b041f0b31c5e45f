"""Is cut off in the middle."""

def call(:
