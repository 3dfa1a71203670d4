"""What a run amounts to: figures for the one block that ends it.

All of them come from what ran.  @figure("HTTP cases", "refused") counts the
tests that passed, and those that failed; tests with the same key count as
one.  note() tells a figure that is no count of tests.
"""

import json
import os

counts = {}  # name: {what: {key: passed?}}
notes = {}  # name: [text]
ENVIRONMENT = "BERTH_FIGURES"  # a file that tests/run shows at its end


def figure(name, what, key=None):
    """Mark a test: it is one of these, under its own name or under key."""
    import pytest  # not for tests/run, which needs none of it
    return pytest.mark.figure(name, what, key)


def note(name, text):
    notes.setdefault(name, []).append(text)
    counts.setdefault(name, {})


def count(marker, nodeid, passed):
    name, what, key = marker.args
    keys = counts.setdefault(name, {}).setdefault(what, {})
    key = nodeid if key is None else key
    keys[key] = keys.get(key, True) and passed


def lines():
    """(name, text) of every figure."""
    for name, kinds in counts.items():
        parts = [f"{sum(keys.values())} {what}"
                 for what, keys in kinds.items()]
        failed = sum(not passed for keys in kinds.values()
                     for passed in keys.values())
        parts += [f"{failed} failed"] if failed else []
        yield name, ", ".join(parts + notes.get(name, []))


def show(pairs, out):
    """The block; pairs as of lines()."""
    pairs = list(pairs)
    width = max((len(name) for name, _ in pairs), default=0)
    for name, text in pairs:
        out(f"  {name:{width}}  {text}")


def finish(out):
    """At the end of pytest: into the file, or shown at once."""
    if path := os.environ.get(ENVIRONMENT):
        with open(path, "a") as file:
            for pair in lines():
                file.write(json.dumps(pair) + "\n")
    elif counts:
        out("in numbers:")
        show(lines(), out)
