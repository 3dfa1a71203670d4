"""A ledger of what berthd acknowledged, kept by clients that push for ever."""

import json
import random
import threading

from rawhttp import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, sha256

GONE = (OSError, EOFError)


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        # The disk is going: errors are expected, and a yes proves nothing: an
        # fsync that runs while ext4 shuts down may take the aborted
        # transaction for a finished one. No process outlives a real cut.
        self.cut = threading.Event()
        self.blobs = {}      # (repo, digest) -> bytes
        self.manifests = {}  # (repo, digest) -> bytes
        self.tags = {}       # (repo, tag) -> bytes of the last acknowledged
        self.maybe = {}      # (repo, tag) -> bytes sent but not acknowledged
        self.uploads = []    # [location, bytes acknowledged, the whole]
        self.broken = []     # what a client saw that must never be

    def expect(self, answer, status):
        """The one status that is right; anything else after the cut."""
        if self.cut.is_set():
            raise EOFError("the disk was cut")
        assert answer.status == status, answer


def content(rng):
    return rng.randbytes(rng.choice([0, 10, 5000, 300_000, 900_000]))


def push_forever(server, ledger, seed, number):
    """Push images of one repository until the server goes away."""
    http = server.client()
    try:
        push_images(http, ledger, random.Random(seed), f"k/{number}")
    except GONE:
        pass
    except BaseException as error:  # shown by the main thread
        ledger.broken.append(repr(error))
    finally:
        http.close()


def push_images(http, ledger, rng, repo):
    while True:
        layers = [content(rng) for _ in range(rng.randrange(1, 4))]
        config = json.dumps({"seed": rng.random()}).encode()
        for data in [*layers, config]:
            push_blob(http, ledger, repo, data, rng)
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": sha256(config),
                       "size": len(config)},
            "layers": [{"mediaType": OCI_LAYER, "digest": sha256(d),
                        "size": len(d)} for d in layers]}).encode()
        tag = f"t{rng.randrange(3)}"
        with ledger.lock:
            ledger.maybe[repo, tag] = manifest
        answer = http.put_manifest(repo, tag, manifest)
        ledger.expect(answer, 201)
        with ledger.lock:
            ledger.manifests[repo, sha256(manifest)] = manifest
            ledger.tags[repo, tag] = ledger.maybe.pop((repo, tag))


def push_blob(http, ledger, repo, data, rng):
    answer = http("POST", f"/v2/{repo}/blobs/uploads/", b"")
    ledger.expect(answer, 202)
    where = answer["location"]
    middle = rng.randrange(len(data) + 1)
    session = [where, 0, data]
    with ledger.lock:
        ledger.uploads.append(session)
    for part in (data[:middle], data[middle:]):
        if not part:
            continue
        answer = http("PATCH", where, part)
        ledger.expect(answer, 202)
        session[1] += len(part)
    answer = http("PUT", f"{where}?digest={sha256(data)}", b"")
    ledger.expect(answer, 201)
    with ledger.lock:
        ledger.blobs[repo, sha256(data)] = data
        ledger.uploads.remove(session)


def check(http, ledger):
    for (repo, digest), data in ledger.blobs.items():
        answer = http("GET", f"/v2/{repo}/blobs/{digest}")
        assert (answer.status, answer.body) == (200, data), (repo, digest)
    for (repo, digest), data in ledger.manifests.items():
        answer = http("GET", f"/v2/{repo}/manifests/{digest}")
        assert (answer.status, answer.body) == (200, data), (repo, digest)
    for (repo, tag), data in ledger.tags.items():
        answer = http("GET", f"/v2/{repo}/manifests/{tag}")
        allowed = [data, ledger.maybe.get((repo, tag), data)]
        assert answer.status == 200 and answer.body in allowed, (repo, tag)


def send_rest(http, where, data, offset):
    """PATCH from offset on; with nothing left, an empty one."""
    headers = {"Content-Range": f"{offset}-{len(data) - 1}"}
    return http("PATCH", where, data[offset:],
                headers if offset < len(data) else {})


def resume(http, ledger):
    """Continue each interrupted upload; returns how many were finished."""
    finished = 0
    for where, acknowledged, data in ledger.uploads:
        repo = where.split("/v2/")[1].split("/blobs/")[0]
        status = http("GET", where)
        if status.status == 404:
            # Nothing of it was acknowledged, or its PUT was committed and
            # only the answer got lost: then the blob is there.
            blob = http("HEAD", f"/v2/{repo}/blobs/{sha256(data)}")
            assert acknowledged == 0 or blob.status == 200
            continue
        assert status.status == 204
        last = int(status["range"].split("-")[1])
        offset = last + 1 if last or acknowledged else 0
        assert acknowledged <= offset <= len(data)
        answer = send_rest(http, where, data, offset)
        if answer.status == 416 and last == 0 and offset == 0:
            # "0-0" is said of no byte and of one byte alike: it was one.
            answer = send_rest(http, where, data, 1)
        assert answer.status == 202, answer
        done = http("PUT", f"{where}?digest={sha256(data)}", b"")
        assert done.status == 201, done
        ledger.blobs[repo, sha256(data)] = data
        finished += 1
    ledger.uploads.clear()
    return finished


class Pushers:
    """Clients in threads that push until the server is gone."""

    def __init__(self, server, ledger, rng, count=4):
        self.threads = [threading.Thread(
            target=push_forever,
            args=(server, ledger, rng.getrandbits(64), number))
            for number in range(count)]
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join()
