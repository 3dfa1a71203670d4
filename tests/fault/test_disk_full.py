"""A full disk: 507, nothing partial, the server alive, deletes go on."""

import os

import pytest

from conftest import Berthd
from rawhttp import sha256
from smalldisk import small_disk  # noqa: F401, a fixture

BLOB = 4 << 20


def push(http, where, data):
    """PUT that may be refused before the whole body was sent."""
    try:
        return http("PUT", f"{where}?digest={sha256(data)}", data)
    except (BrokenPipeError, ConnectionResetError):
        return http.read("PUT")


@pytest.mark.parametrize("floor", [-1, 0])
def test_full_disk(tmp_path, small_disk, floor):
    """floor 0 meets the real ENOSPC, -1 our own limit before it."""
    conf = tmp_path / "r.conf"
    conf.write_text(f"min-free = {floor}\ndelete-delay = 0\n")
    server = Berthd(small_disk / "data", "--config", str(conf))
    http = server.client()
    kept, digest = http.push_image("a", "v1", [os.urandom(BLOB)])
    stored, refused = [], None
    while refused is None and len(stored) < 40:
        data = os.urandom(BLOB)
        where = http.begin("a")
        done = push(http, where, data)
        if done.status == 201:
            stored.append(sha256(data))
        else:
            refused = done
    assert refused.status == 507 and refused.json()["errors"]
    assert len(stored) > 3
    assert http("HEAD", f"/v2/a/blobs/{sha256(data)}").status == 404
    assert http("GET", where).status == 204  # kept, and can be cancelled
    assert http("DELETE", where, b"").status == 204
    assert http("GET", "/v2/a/manifests/v1").body == kept
    for one in stored:
        assert http("DELETE", f"/v2/a/blobs/{one}").status == 202
    for _ in range(500):  # the files go right after the answers
        again = os.urandom(BLOB)
        where = http.begin("a")
        done = push(http, where, again)
        if done.status == 201:
            break
        http("DELETE", where, b"")
    assert done.status == 201
    http.close()
    server.stop()
    server = Berthd(small_disk / "data", "--config", str(conf))
    http = server.client()
    assert http("GET", f"/v2/a/manifests/{digest}").body == kept
    http.close()
    server.stop()
