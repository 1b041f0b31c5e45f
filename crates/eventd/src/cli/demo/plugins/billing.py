"""Fails now and then, so that there is something to see: it is tried again three times, and then stops at its
event.

Press «Retry» or «Skip» on the page, or fix this file: take the `raise` away, and it goes on where it has
stopped.
"""


def registerCallbacks(reg):
    """Registers the callback for finished shots."""
    reg.registerCallback("plugins", "a-key-for-the-demo", bill, {"Shotgun_Shot_Change": ["sg_status_list"]})


def bill(sg, logger, event, args):
    """Bills a shot that is finished."""
    if event["meta"]["new_value"] != "fin":
        return
    if event["id"] % 4 == 0:
        raise ConnectionError("the billing server does not answer")
    logger.info("billed %s", event["entity"]["name"])
