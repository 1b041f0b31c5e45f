import os
def take(size):
    data = b""
    while len(data) < size:
        chunk = os.read(3, size - len(data))
        if not chunk:
            os._exit(0)
        data += chunk
    return data
bundle = take(int.from_bytes(take(4), "little")).decode()
pieces = dict(piece.split("\n", 1) for piece in bundle.split("\f"))
exec(compile(pieces["agent.py"], "<sgtk-host>/agent.py", "exec"), {"__name__": "agent", "PIECES": pieces})
