"""A byte over pipes to Python and back."""

import os

while True:
    byte = os.read(0, 1)
    if not byte:
        break
    os.write(1, byte)
