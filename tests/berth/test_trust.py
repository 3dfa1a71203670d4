"""Where a registry may lead: redirects, TLS."""

import pathlib
import subprocess

import pytest

from fakeregistry import FakeRegistry, Tokens, basic
from remotes import (  # noqa: F401
    BERTH, authority, berth, blob_path, cert_dir, home, image, pull_fails, reg,
    secure, write_auth)

pytestmark = pytest.mark.usefixtures("fresh_store")


# ---- redirects ---------------------------------------------------------------
def to(location, status=307):
    return lambda h: h.answer(status, {"Location": location.replace(
        "{path}", h.path)})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_blobs_elsewhere_get_no_credentials(reg, image, home, status):
    other = FakeRegistry()
    other.blobs = reg.blobs
    try:
        reg.guard = basic("u", "p")
        write_auth(home, reg.host)
        reg.always("GET", "/blobs/", to(
            f"http://{other.name('b.localhost')}{{path}}", status))
        berth("pull", f"{reg.host}/t:1")
        assert len(other.requests("GET", "/blobs/")) == 4
        for request in other.requests():
            assert "Authorization" not in request.headers
    finally:
        other.stop()


def test_credentials_never_come_back(reg, image, home):
    """Away and home again: still without."""
    other = FakeRegistry()
    try:
        reg.guard = basic("u", "p")
        write_auth(home, reg.host)
        part = blob_path(image)
        reg.on("GET", part, to(f"http://{other.name('b.localhost')}{{path}}"))
        other.on("GET", part, to(f"http://{reg.host}/second{part}"))
        pull_fails(f"{reg.host}/t:1")
        assert "Authorization" not in reg.requests("GET", "/second")[0].headers
    finally:
        other.stop()


@pytest.mark.parametrize("location, words", [
    ("http://169.254.169.254/latest/meta-data", "internal address"),
    ("http://[fd00:ec2::254]/", "internal address"),
    ("http://[::ffff:169.254.169.254]/", "internal address"),
    ("http://2852039166/", "internal address"),
    ("http://0xa9fea9fe/", "internal address"),
    ("ftp://127.0.0.1/x", "bad address"),
    ("file:///etc/passwd", "bad address"),
    ("http://u:p@127.0.0.1/x", "bad address"),
    ("{path}", "more than 5 redirects"),
])
def test_redirects_that_are_refused(reg, image, location, words):
    reg.always("GET", blob_path(image), to(location))
    reg.rules[-1][2] = to(location)
    text = pull_fails(f"{reg.host}/t:1")
    assert words in text
    assert len(reg.requests("GET", blob_path(image))) <= 6


PUBLIC = r"""
set -e
ip link set lo up
ip addr add 93.184.216.34/32 dev lo
ip addr add 10.9.9.9/32 dev lo
exec "$@"
"""

SCRIPT = r"""
import os, sys
sys.path.insert(0, sys.argv[1])
from fakeregistry import FakeRegistry, Tokens, tar_of
target, kind, berth = sys.argv[2:]
inner = FakeRegistry(address=target)
reg = FakeRegistry(address="93.184.216.34")
image = reg.put_image("t", "1", [tar_of({"f": b"x"})])
inner.blobs = reg.blobs
where = f"http://{inner.host}"
if kind == "name":  # only the resolver knows what it is
    where = f"http://{inner.name('inner.localhost')}"
if kind == "realm":
    Tokens(reg, realm=where + "/token")
    Tokens(inner)
else:
    reg.always("GET", "/blobs/", lambda h: h.answer(
        307, {"Location": where + h.path}))
import subprocess
done = subprocess.run([berth, "pull", "--tls-verify=false", reg.host + "/t:1"],
                      capture_output=True, text=True)
print(done.returncode, len(inner.log), done.stderr)
"""


@pytest.mark.parametrize("target, kind, is_refused", [
    ("127.0.0.1", "literal", True), ("127.0.0.1", "name", True),
    ("127.0.0.1", "realm", True), ("10.9.9.9", "literal", True),
    ("93.184.216.34", "literal", False)])
def test_a_public_registry_leads_nobody_inside(home, target, kind, is_refused):
    """In a network namespace whose loopback has a public address."""
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", PUBLIC, "sh", "/usr/bin/python3", "-B",
         "-c", SCRIPT, str(pathlib.Path(__file__).parents[1]), target, kind,
         BERTH], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done
    code, reached, text = done.stdout.split(" ", 2)
    if is_refused:
        assert (code, reached) == ("1", "0"), done
        assert "internal address" in text
    else:
        assert code == "0" and int(reached) > 0, done


def test_tls(secure, cert_dir):
    reg = secure()
    name = reg.name("a.localhost") + "/t:1"
    text = pull_fails(name)
    assert "the certificate of a.localhost is refused" in text
    assert "unable to get local issuer certificate" in text
    assert f"certs.d/{reg.name('a.localhost')}/" in text
    assert not reg.requests()
    berth("pull", "--cert-dir", cert_dir, name)
    berth("pull", "--tls-verify=false", name)


@pytest.mark.parametrize("place", ["/etc/containers/certs.d",
                                   "/etc/docker/certs.d"])
def test_tls_with_certs_d(secure, cert_dir, place):
    reg = secure()
    folder = pathlib.Path(place) / reg.name("a.localhost")
    folder.mkdir(parents=True)
    try:
        (folder / "our-ca.crt").symlink_to(cert_dir / "ca.crt")
        berth("pull", reg.name("a.localhost") + "/t:1")
    finally:
        (folder / "our-ca.crt").unlink()
        folder.rmdir()


@pytest.mark.parametrize("san, days, words", [
    ("DNS:b.localhost", 2, "subject name"),
    ("IP:127.0.0.1", 2, "subject name"),
    ("DNS:a.localhost", -1, "expired")])
def test_tls_with_a_wrong_certificate(secure, cert_dir, san, days, words):
    reg = secure(san, name="wrong", days=days)
    text = pull_fails(reg.name("a.localhost") + "/t:1", "--cert-dir", cert_dir)
    assert words in text and not reg.requests()


def test_tls_with_a_client_certificate(secure, cert_dir, authority):
    reg = secure(client_ca=authority.crt)
    name = reg.name("a.localhost") + "/t:1"
    text = pull_fails(name, "--cert-dir", cert_dir)
    assert "alert handshake failure" in text and "plain HTTP" not in text
    crt, key = authority.issue("client", "DNS:client")
    (cert_dir / "client.cert").write_bytes(crt.read_bytes())
    text = pull_fails(name, "--cert-dir", cert_dir)
    assert "client.cert needs" in text
    (cert_dir / "client.key").write_bytes(key.read_bytes())
    berth("pull", "--cert-dir", cert_dir, name)
    assert "no folder" in pull_fails(name, "--cert-dir", "/nowhere")


def test_no_fall_back_to_plain_http(reg, image, home):
    write_auth(home, reg.name("a.localhost"))
    name = reg.name("a.localhost") + "/t:1"
    text = pull_fails(name)
    assert "--tls-verify=false allows plain HTTP" in text
    assert not reg.requests("GET", "/v2/")
    berth("pull", "--tls-verify=false", name)


def test_no_redirect_from_tls_to_plain(secure, cert_dir, reg):
    tls = secure()
    tls.always("GET", "/blobs/", to(f"http://{reg.host}{{path}}"))
    text = pull_fails(tls.name("a.localhost") + "/t:1", "--cert-dir", cert_dir)
    assert "from TLS to plain HTTP" in text and not reg.requests()
    tls = secure()
    Tokens(tls, realm=f"http://{reg.host}/token")
    text = pull_fails(tls.name("a.localhost") + "/t:1", "--cert-dir", cert_dir)
    assert "speaks no TLS" in text and not reg.requests()
