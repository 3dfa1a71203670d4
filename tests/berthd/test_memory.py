"""What clients can make berthd hold: large manifests, both ways."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import VARIANT, Berthd
from rawhttp import sha256
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


def large_manifest(http):
    data, _ = http.push_image("a", "small")
    body = {**json.loads(data), "annotations": {"x": ""}}
    body["annotations"]["x"] = "x" * (LARGE - len(json.dumps(body)))
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
