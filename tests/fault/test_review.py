"""A HEAD may have to write: it pushes the review of a blob on.

That must not show: what is gone is unknown, and reads go on when storage
takes no write.
"""

import hashlib

import pytest

from conftest import Berthd
from rawhttp import sha256

BLOBS = [b"blob %d" % i for i in range(60)]


@pytest.fixture
def server(tmp_path):
    """Blobs that were pushed under a short grace, and now a long one."""
    conf = tmp_path / "registry.conf"
    conf.write_text("collect-grace = 1\n")
    server = Berthd(tmp_path / "data", "--config", str(conf))
    http = server.client()
    for data in BLOBS:
        http.push_blob("a", data)
    http.push_image("a", "v1")
    http.close()
    server.stop()
    conf.write_text("collect-grace = 100000\n")
    server.start()
    yield server
    server.stop()


def test_head_of_a_blob_that_is_being_deleted(server):
    http, other = server.client(), server.client()
    answers = []
    for data in BLOBS:
        path = f"/v2/a/blobs/{sha256(data)}"
        other.send(f"DELETE {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answers.append(http("HEAD", path).status)
        assert other.read("DELETE").status == 202
    assert set(answers) <= {200, 404}, answers
    http.close()
    other.close()


def break_shard(root, data):
    """Let the name of this blob fail as a sick disk would."""
    shard = root / "blobs" / "sha256" / hashlib.sha256(data).hexdigest()[:2]
    shard.rmdir()
    shard.touch()


def test_reads_go_on_after_a_fault(server):
    used = {hashlib.sha256(b).digest()[0] for b in BLOBS}
    data = next(d for d in (b"%d" % i for i in range(10000))
                if hashlib.sha256(d).digest()[0] not in used
                and not list((server.root / "blobs" / "sha256" / hashlib
                              .sha256(d).hexdigest()[:2]).iterdir()))
    break_shard(server.root, data)
    http = server.client()
    where = http.begin("a")
    assert http("PUT", f"{where}?digest={sha256(data)}", data).status == 500
    assert http("GET", "/readyz").status == 503
    assert http("POST", "/v2/a/blobs/uploads/", b"").status >= 500
    for one in BLOBS[:3]:
        path = f"/v2/a/blobs/{sha256(one)}"
        assert http("HEAD", path).status == 200
        assert http("GET", path).body == one
        assert http("DELETE", path).status >= 500
    assert http("GET", "/v2/a/manifests/v1").status == 200
    assert http("GET", "/v2/a/tags/list").json()["tags"] == ["v1"]
    http.close()
