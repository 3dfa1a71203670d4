"""Waiting for what comes in its own time: by looking, never by sleeping."""

import time

PATIENCE_S = 60


def wait_for(probe, what="it"):
    """Look until probe() is true; its value."""
    end = time.monotonic() + PATIENCE_S
    while not (value := probe()):
        assert time.monotonic() < end, f"in vain, for {PATIENCE_S} s: {what}"
        time.sleep(0.005)
    return value
