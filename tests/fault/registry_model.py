"""What a registry may answer: a model, and whether a history fits it.

The model is one function: run(world, state, op) gives the one right answer
and the state after it.  Clients that work at once give a history of calls,
each with the time of its start and of its end.  It is right when the calls
can be put in some order that keeps these times and in which each answer is
the model's: see explain().
"""

import collections
import itertools
import json
import math
import random

from rawhttp import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, sha256

REPOS = ("m/a", "m/b")
TAGS = ("t0", "t1", "t2")

# A manifest: its name, bytes, type, the blobs and manifests it needs, and
# what it refers to without needing it.
Manifest = collections.namedtuple("Manifest", "name data kind needs subject")

# repos: what was ever stored in; blobs and manifests: {(repo, name)}; tags:
# {(repo, tag, name)}.
State = collections.namedtuple("State", "repos blobs manifests tags")
EMPTY = State(frozenset(), frozenset(), frozenset(), frozenset())

# result None: nobody heard the answer, and it may come at any time, or never.
Call = collections.namedtuple("Call", "op start end result")


class World:
    """The contents that clients push, the same for a whole run."""

    def __init__(self, rng):
        sizes = (0, 1, 10, 5000, 300_000, 900_000)
        self.blobs = {f"b{i}": rng.randbytes(size)
                      for i, size in enumerate(sizes)}
        self.manifests = {}
        for i in range(4):
            self._image(f"i{i}", rng.sample(sorted(self.blobs), 2), None)
        for i in range(2):
            self._index(f"x{i}", rng.sample(["i0", "i1", "i2"], 2))
        for i in range(2):
            self._image(f"r{i}", ["b2"], "i0")
        self.names = {self.digest(name): name
                      for name in (*self.blobs, *self.manifests)}

    def _add(self, name, body, kind, needs, subject=None):
        if subject:
            body["subject"] = self.descriptor(subject, OCI_MANIFEST)
        data = json.dumps({"schemaVersion": 2, "mediaType": kind,
                           "annotations": {"name": name}, **body}).encode()
        self.manifests[name] = Manifest(name, data, kind, tuple(needs),
                                        subject)

    def _image(self, name, blobs, subject):
        self._add(name, {"config": self.descriptor(blobs[0], OCI_CONFIG),
                         "layers": [self.descriptor(b, OCI_LAYER)
                                    for b in blobs[1:]]},
                  OCI_MANIFEST, blobs, subject)

    def _index(self, name, children):
        self._add(name, {"manifests": [self.descriptor(c, OCI_MANIFEST)
                                       for c in children]},
                  OCI_INDEX, children)

    def bytes_of(self, name):
        if name in self.blobs:
            return self.blobs[name]
        return self.manifests[name].data

    def digest(self, name):
        return sha256(self.bytes_of(name))

    def descriptor(self, name, kind):
        return {"mediaType": kind, "digest": self.digest(name),
                "size": len(self.bytes_of(name))}


# -- the model ---------------------------------------------------------------

def is_needed(world, state, repo, name):
    return any(r == repo and name in world.manifests[m].needs
               for r, m in state.manifests)


def push(world, state, repo, name):
    return 201, state._replace(repos=state.repos | {repo},
                               blobs=state.blobs | {(repo, name)})


def mount(world, state, repo, name, source):
    sources = REPOS if source is None else (source,)
    if any((s, name) in state.blobs for s in sources):
        return push(world, state, repo, name)
    return 202, state


def get_blob(world, state, repo, name):
    return 200 if (repo, name) in state.blobs else 404, state


def delete_blob(world, state, repo, name):
    if is_needed(world, state, repo, name):
        return 405, state
    if (repo, name) not in state.blobs:
        return 404, state
    return 202, state._replace(blobs=state.blobs - {(repo, name)})


def tagged(state, repo, tag):
    return next((m for r, t, m in state.tags if (r, t) == (repo, tag)), None)


def holds(state, repo, name, tags, by_tag, condition):
    """condition: None, "absent", or the manifest that must be there."""
    if by_tag:
        now = tagged(state, repo, tags[0])
    else:
        now = name if (repo, name) in state.manifests else None
    return condition is None or now == (None if condition == "absent"
                                        else condition)


def put(world, state, repo, name, tags, by_tag, condition):
    if not holds(state, repo, name, tags, by_tag, condition):
        return 412, state
    here = state.blobs | state.manifests
    if any((repo, need) not in here for need in world.manifests[name].needs):
        return 400, state
    others = {(r, t, m) for r, t, m in state.tags
              if r != repo or t not in tags}
    return 201, State(state.repos | {repo}, state.blobs,
                      state.manifests | {(repo, name)},
                      frozenset(others | {(repo, t, name) for t in tags}))


def get_tag(world, state, repo, tag):
    return tagged(state, repo, tag) or 404, state


def get_manifest(world, state, repo, name):
    return name if (repo, name) in state.manifests else 404, state


def delete_tag(world, state, repo, tag):
    name = tagged(state, repo, tag)
    if not name:
        return 404, state
    return 202, state._replace(tags=state.tags - {(repo, tag, name)})


def delete_manifest(world, state, repo, name):
    if (repo, name) not in state.manifests:
        return 404, state
    if is_needed(world, state, repo, name):
        return 405, state
    return 202, state._replace(
        manifests=state.manifests - {(repo, name)},
        tags=frozenset(t for t in state.tags if t[::2] != (repo, name)))


def list_tags(world, state, repo):
    if repo not in state.repos:
        return 404, state
    return tuple(sorted(t for r, t, _ in state.tags if r == repo)), state


def list_referrers(world, state, repo, subject):
    return tuple(sorted(m for r, m in state.manifests if r == repo and
                        world.manifests[m].subject == subject)), state


def run(world, state, op):
    """(the right answer, the state after it); op is (function, args...)."""
    return op[0](world, state, *op[1:])


# -- does a history fit? -----------------------------------------------------

def successors(world, clients, at, lost, state):
    """The calls that may come next: (at, lost, state) after each."""
    heads = [client[i] if i < len(client) else None
             for client, i in zip(clients, at)]
    first_end = min((c.end for c in heads if c), default=math.inf)
    for k, call in enumerate(heads):
        if call and call.start <= first_end:
            result, after = run(world, state, call.op)
            if result == call.result:
                yield at[:k] + (at[k] + 1,) + at[k + 1:], lost, after
    for call in lost:
        if call.start <= first_end:
            _, after = run(world, state, call.op)
            yield at, lost - {call}, after


def explain(world, starts, clients):
    """
    All ways in which a history may have ended.

    starts: {(state, lost calls)}; clients: each one's calls with answers, in
    order.  Returns the set of the same kind at the end, and the state of the
    search that got furthest, for a report; no end: the history is wrong.
    """
    zero = (0,) * len(clients)
    todo = [(zero, lost, state) for state, lost in starts]
    seen = set(todo)
    ends, furthest = set(), todo[0]
    while todo:
        node = todo.pop()
        at, lost, state = node
        if sum(at) > sum(furthest[0]):
            furthest = node
        if all(i == len(c) for i, c in zip(at, clients)):
            ends.add((state, lost))
        for after in successors(world, clients, *node):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return ends, furthest


def report(clients, furthest):
    """What could not be explained, and what came just before it."""
    at, lost, state = furthest
    lines = [f"no order of the calls explains the answers; {state}"]
    for number, (client, i) in enumerate(zip(clients, at)):
        for call in client[max(0, i - 4):i + 2]:
            mark = "??" if client.index(call) >= i else "  "
            lines.append(f"{mark} client {number}: {show(call)}")
    lines += [f"   unheard: {show(call)}" for call in lost]
    return "\n".join(lines)


def show(call):
    name, *args = call.op
    return (f"{call.start:.6f}-{call.end:.6f} {name.__name__}"
            f"{tuple(args)} -> {call.result}")


# -- what clients do ---------------------------------------------------------

def random_op(world, rng):
    repo, blob = rng.choice(REPOS), rng.choice(sorted(world.blobs))
    name, tag = rng.choice(sorted(world.manifests)), rng.choice(TAGS)
    by_tag = rng.random() < 0.6
    tags = (tag,) if by_tag else tuple(rng.sample(TAGS, rng.randrange(3)))
    condition = rng.choice([None] * 6 + ["absent", name])
    ops = [(push, repo, blob)] * 7 + [(put, repo, name, tags, by_tag,
                                       condition)] * 7
    ops += [(mount, repo, blob, rng.choice([*REPOS, None])),
            (get_blob, repo, blob), (delete_blob, repo, blob),
            (delete_blob, repo, blob), (get_tag, repo, tag),
            (get_manifest, repo, name), (delete_tag, repo, tag),
            (delete_manifest, repo, name), (delete_manifest, repo, name),
            (list_tags, repo), (list_referrers, repo, "i0")]
    return rng.choice(ops)


def all_reads(world):
    """Everything that can be asked: it tells the whole state."""
    for repo in REPOS:
        yield list_tags, repo
        yield list_referrers, repo, "i0"
        yield from ((get_tag, repo, tag) for tag in TAGS)
        yield from ((get_manifest, repo, m) for m in world.manifests)
        yield from ((get_blob, repo, b) for b in world.blobs)


def selfcheck(seed):
    """A right history is explained, and with one answer changed it is not."""
    rng = random.Random(seed)
    world, state, calls = World(rng), EMPTY, []
    for at in itertools.count():
        op = random_op(world, rng)
        result, state = run(world, state, op)
        calls.append(Call(op, at, at + 1.5, result))
        if at == 60:
            break
    clients = [calls[::2], calls[1::2]]
    ends, _ = explain(world, {(EMPTY, frozenset())}, clients)
    assert (state, frozenset()) in ends
    for wrong in rng.sample(range(len(calls)), 20):
        bent = list(calls)
        other = 404 if calls[wrong].result != 404 else 201
        bent[wrong] = calls[wrong]._replace(result=other)
        # One after the other, so that no order can make it right.
        bent = [c._replace(end=c.start + 0.5) for c in bent]
        ends, furthest = explain(world, {(EMPTY, frozenset())}, [bent])
        assert not ends and sum(furthest[0]) == wrong
        assert "??" in report([bent], furthest)
