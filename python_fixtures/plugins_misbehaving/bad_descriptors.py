"""Does what it likes with descriptors."""

import os
import stat


def closes_all():
    """As a daemon does when it starts."""
    os.closerange(0, 4096)
    return "closed"


def closes_and_opens(folder):
    """Then opens files, which get the numbers that were free."""
    os.closerange(3, 256)
    opened = [
        os.open(os.path.join(folder, "file%d" % number), os.O_RDWR | os.O_CREAT) for number in range(20)
    ]
    return opened


def writes_to_low_numbers():
    """Guesses where the protocol is. Returns the errors' numbers."""
    errors = []
    for number in range(3, 10):
        try:
            os.write(number, b"\xff\xff\xff\xffnonsense")
            errors.append(None)
        except OSError as error:
            errors.append(error.errno)
    return errors


def writes_to_every_pipe():
    """Finds the protocol's descriptors and writes to them."""
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        try:
            if number > 2 and stat.S_ISFIFO(os.fstat(number).st_mode):
                os.write(number, b"\xff\xff\xff\x7fnonsense")
        except OSError:
            pass
    return "written"


def reads_from_every_pipe():
    """Takes requests that are not its own: returns how many bytes there were, waiting for none."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        try:
            if number > 2 and stat.S_ISFIFO(os.fstat(number).st_mode):
                os.set_blocking(number, False)
                found += len(os.read(number, 65536))
        except OSError:
            pass
    return found
