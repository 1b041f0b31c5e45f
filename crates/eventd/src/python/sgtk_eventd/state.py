"""The `eventIdFile` of shotgunEvents: a pickle, read without running anything that is in it.

`{folder: {plugin: (last id, {missing id: until})}}`; an old form is one integer as text.
"""

import datetime
import os
import pickle
import tempfile


class Foreign(Exception):
    """Something that an id file has not."""


class Restricted(pickle.Unpickler):
    """Knows the one class that such a file has."""

    def find_class(self, module, name):
        """`datetime.datetime` alone."""
        if (module, name) == ("datetime", "datetime"):
            return datetime.datetime
        raise Foreign("it has a %s.%s in it, which an id file has not" % (module, name))


def read(path):
    """What the file says: `{"all": id}`, or `{"folders": {folder: {plugin: [id, {missing id: seconds
    left}]}}}`.
    """
    with open(path, "rb") as file:
        data = file.read()
    text = data.strip()
    if text.isdigit():
        return {"all": int(text)}
    if not text:
        raise ValueError("the file is empty: the daemon that wrote it was stopped while it wrote")
    with open(path, "rb") as file:
        try:
            found = Restricted(file).load()
        except Foreign:
            raise
        except Exception as error:
            words = "the file is no id file, or was written by half (%s: %s)"
            raise ValueError(words % (type(error).__name__, error)) from None
    if not isinstance(found, dict):
        raise ValueError("the file has a %s in it, and is no id file" % type(found).__name__)
    now = datetime.datetime.now()
    folders = {}
    for folder, plugins in found.items():
        told = folders[str(folder)] = {}
        for plugin, state in plugins.items():
            last, missing = state if isinstance(state, tuple) else (state, {})
            if last is not None:
                left = {
                    str(int(key)): max((until - now).total_seconds(), 0) for key, until in missing.items()
                }
                told[str(plugin)] = [int(last), left]
    return {"folders": folders}


def write(path, folders):
    """Writes the same, as shotgunEvents reads it; never half of it."""
    now = datetime.datetime.now()
    told = {}
    for folder, plugins in folders.items():
        told[folder] = {
            plugin: (
                last,
                {int(key): now + datetime.timedelta(seconds=left) for key, left in missing.items()},
            )
            for plugin, (last, missing) in plugins.items()
        }
    number, name = tempfile.mkstemp(dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(number, "wb") as file:
            # The protocol that every Python 3 reads.
            pickle.dump(told, file, protocol=2)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
