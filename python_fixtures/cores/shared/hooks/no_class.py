"""A hook's file without a hook."""
