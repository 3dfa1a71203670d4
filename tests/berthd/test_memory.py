"""What clients can make berthd hold: large manifests, and lists of them."""

import json
import pathlib
from contextlib import closing, suppress
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import VARIANT, Berthd
from rawhttp import OCI_MANIFEST, sha256
from waiting import wait_for

LIMIT = 8 << 20
CLIENTS = 40
LARGE = (4 << 20) - 4096
# What is held, and what some workers have read at the moment; without the limit
# it would be twice as much. A sanitizer keeps what is freed.
ENOUGH_KIB = (LIMIT >> 10) + 72_000 if VARIANT == "release" else 1 << 30


@pytest.fixture
def server(tmp_path):
    conf = tmp_path / "registry.conf"
    conf.write_text(f"manifest-memory = {LIMIT}\n")
    server = Berthd(tmp_path / "data", "--config", str(conf))
    yield server
    server.stop()


def large_manifest(http, size=LARGE):
    data, _ = http.push_image("a", "small")
    body = {**json.loads(data), "annotations": {"x": ""}}
    body["annotations"]["x"] = "x" * (size - len(json.dumps(body)))
    return json.dumps(body).encode()


def answered(client):
    """The status of a client that was refused, or None: nothing came."""
    client.sock.setblocking(False)
    try:
        client._more()
    except BlockingIOError:
        return None
    client.sock.settimeout(60)
    answer = client.read("PUT")
    assert answer["retry-after"]
    return answer.status


def begin_put(server, data):
    client = server.client()
    try:
        client.send(b"PUT /v2/a/manifests/large HTTP/1.1\r\nHost: x\r\n"
                    b"Content-Length: %d\r\n\r\n" % len(data) + data[:-1])
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was refused before the end
    return client


def test_slow_large_manifests(server):
    """Many that do not end: refused beyond the limit, nobody else suffers."""
    http = server.client()
    data = large_manifest(http)
    before = server.memory_kib("VmRSS")
    with ThreadPoolExecutor(CLIENTS) as pool:
        slow = list(pool.map(lambda _: begin_put(server, data),
                             range(CLIENTS)))
    refused = wait_for(lambda: (n := sum(answered(c) == 503 for c in slow
                                         if c.sock)) and n, "a refusal")
    assert refused
    assert server.memory_kib("VmHWM") - before < ENOUGH_KIB
    http.push_image("a", "meanwhile")
    for client in slow:
        client.close()

    def put():
        return http.put_manifest("a", "large", data).status == 201
    wait_for(put, "room for a large manifest")
    http.close()


def test_slow_readers_of_a_large_manifest(server):
    http = server.client()
    data = large_manifest(http)
    assert http.put_manifest("a", "large", data).status == 201
    before = server.memory_kib("VmRSS")
    slow = [server.client() for _ in range(CLIENTS)]
    for client in slow:
        client.send(b"GET /v2/a/manifests/large HTTP/1.1\r\nHost: x\r\n\r\n")
    firsts = [client._line() for client in slow]
    assert any(" 503 " in line for line in firsts)
    assert any(" 200 " in line for line in firsts)
    assert server.memory_kib("VmHWM") - before < ENOUGH_KIB
    assert http("GET", "/v2/a/manifests/small").status == 200
    assert http("HEAD", "/v2/a/manifests/large").status == 200
    for client in slow:
        client.close()

    def get():
        answer = http("GET", f"/v2/a/manifests/{sha256(data)}")
        return answer.status == 200 and answer.body == data
    wait_for(get, "room for a large answer")
    http.close()


def test_large_referrers(server):
    """A page of them is read as far as it goes, not the whole list."""
    http = server.client()
    subject, _ = http.push_image("a", "subject")
    made = json.loads(subject)
    made["subject"] = {"mediaType": OCI_MANIFEST, "digest": sha256(subject),
                       "size": len(subject)}
    for n in range(CLIENTS):
        made["annotations"] = {"n": str(n), "x": "x" * (LARGE - 2000)}
        data = json.dumps(made).encode()
        assert http.put_manifest("a", sha256(data), data).status == 201
    before = server.memory_kib("VmRSS")
    pathlib.Path(f"/proc/{server.proc.pid}/clear_refs").write_text("5")
    answer = http("GET", f"/v2/a/referrers/{sha256(subject)}")
    assert answer.status == 200 and answer["link"]
    assert server.memory_kib("VmHWM") - before < ENOUGH_KIB
    http.close()


# ---- nothing stays taken -----------------------------------------------------

# What counts of a body of this size, times the rounds, is more than the limit.
PART = 400_000
ROUNDS = 40


def put_head(digest_or_tag, framing):
    return (f"PUT /v2/a/manifests/{digest_or_tag} HTTP/1.1\r\nHost: x\r\n"
            f"{framing}\r\n\r\n").encode()


def put_whole(server, http, data):
    assert http.put_manifest("a", "part", data).status == 201


def put_another_digest(server, http, data):
    answer = http.put_manifest("a", sha256(b"another"), data)
    assert answer.status == 400, answer


def put_no_manifest(server, http, data):
    assert http.put_manifest("a", "part", b"x" * len(data)).status == 400


def put_too_much(server, http, data):
    with closing(server.client()) as client:
        client.send(put_head("part", "Transfer-Encoding: chunked"))
        with suppress(OSError):  # it answers before the end
            client.send(b"%x\r\n%s\r\n0\r\n\r\n" % (5 << 20, b"x" * (5 << 20)))
        with suppress(OSError):
            assert client.read("PUT").status == 413


def put_broken_chunk(server, http, data):
    with closing(server.client()) as client:
        client.send(put_head("part", "Transfer-Encoding: chunked") +
                    b"%x\r\n%s\r\nno size\r\n" % (len(data), data))
        assert client.read("PUT").status == 400


def put_part_and_leave(server, http, data):
    with closing(server.client()) as client:
        client.send(put_head("part", f"Content-Length: {len(data)}") +
                    data[:-1])


def put_and_leave(server, http, data):
    with closing(server.client()) as client:
        client.send(put_head("part", f"Content-Length: {len(data)}") + data)


def get_whole(server, http, data):
    assert http("GET", "/v2/a/manifests/part").body == data


def get_and_leave(server, http, data):
    with closing(server.client()) as client:
        client.send(b"GET /v2/a/manifests/large HTTP/1.1\r\nHost: x\r\n\r\n")


def get_some_and_leave(server, http, data):
    with closing(server.client()) as client:
        client.send(b"GET /v2/a/manifests/large HTTP/1.1\r\nHost: x\r\n\r\n")
        client._line()


def head(server, http, data):
    assert http("HEAD", "/v2/a/manifests/part").status == 200


ENDINGS = [put_whole, put_another_digest, put_no_manifest, put_too_much,
           put_broken_chunk, put_part_and_leave, put_and_leave, get_whole,
           get_and_leave, get_some_and_leave, head]


def both_fit(server, large):
    """Two large manifests at once, as many as the limit allows."""
    puts = [begin_put(server, large) for _ in range(2)]
    for client in puts:
        with suppress(OSError):
            client.send(large[-1:])
    answers = [client.read("PUT") for client in puts]
    gets = [server.client() for _ in range(2)]
    for client in gets:
        client.send(b"GET /v2/a/manifests/large HTTP/1.1\r\nHost: x\r\n\r\n")
    firsts = [client._line() for client in gets]
    for client in puts + gets:
        client.close()
    return (all(answer.status == 201 for answer in answers) and
            all(" 200 " in line for line in firsts))


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda f: f.__name__)
def test_nothing_stays_taken(server, ending):
    """However a request ends: what it took of the limit is given back."""
    http = server.client()
    large, part = large_manifest(http), large_manifest(http, PART)
    put_whole(server, http, part)
    assert http.put_manifest("a", "large", large).status == 201
    for _ in range(ROUNDS):
        ending(server, http, part)
    wait_for(lambda: both_fit(server, large), "room for two large manifests")
    http.close()
