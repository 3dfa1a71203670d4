"""Who the client is: proxies that are trusted say so, nobody else can."""

import socket

import pytest

from conftest import BUILD
from engines import run
from http_cases import get, request
from rawhttp import Client
from test_http import DEADLINE_S, END, statuses
from waiting import wait_for

TRUST = 'trusted-proxies = {"127.0.0.1", "10.0.0.0/8"}\n'
CLIENT = "192.0.2.9"


class From(Client):
    """A client whose own address is `source`."""

    def __init__(self, server, source):
        super().__init__(server.port)
        self.source = source

    def connect(self):
        if self.sock is None:
            self.sock = socket.create_connection(
                ("127.0.0.1", self.port), DEADLINE_S,
                source_address=(self.source, 0))
            self.buffer = b""
        return self.sock


def logged(server, path):
    """(who, through whom) of the access log's line for path."""
    line = wait_for(lambda: next((one for one in server.log
                                  if f'"GET {path}" ' in one), None))
    who = line.split(f' "GET {path}"')[0].split()[-1]
    via = [word for word in line.split() if word.startswith("via=")]
    return (who.rsplit(":", 1)[0] if not via else who,
            via[0][4:].rsplit(":", 1)[0] if via else None)


# (configuration, address, header lines): (client, proxy)
CASES = {
    "trusted": ((TRUST, "127.0.0.1", [f"X-Forwarded-For: {CLIENT}"]),
                (CLIENT, "127.0.0.1")),
    "not trusted": ((TRUST, "127.0.0.2", [f"X-Forwarded-For: {CLIENT}"]),
                    ("127.0.0.2", None)),
    "nobody is trusted": (("", "127.0.0.1", [f"X-Forwarded-For: {CLIENT}",
                                             f"Forwarded: for={CLIENT}"]),
                          ("127.0.0.1", None)),
    "a chain": ((TRUST, "127.0.0.1",
                 [f"X-Forwarded-For: 203.0.113.1, {CLIENT}, 10.1.2.3"]),
                (CLIENT, "127.0.0.1")),
    "several lines": ((TRUST, "127.0.0.1",
                       ["X-Forwarded-For: 203.0.113.1", "Via: 1.1 x",
                        f"x-forwarded-for: {CLIENT}",
                        "X-FORWARDED-FOR: 10.1.2.3"]),
                      (CLIENT, "127.0.0.1")),
    "IPv6": ((TRUST, "127.0.0.1", ["X-Forwarded-For: [2001:db8::9]:443"]),
             ("2001:db8::9", "127.0.0.1")),
    "malformed": ((TRUST, "127.0.0.1", [f"X-Forwarded-For: {CLIENT}, x"]),
                  ("127.0.0.1", None)),
    "no header": ((TRUST, "127.0.0.1", []), ("127.0.0.1", None)),
    "the other header": ((TRUST, "127.0.0.1", [f"Forwarded: for={CLIENT}"]),
                         ("127.0.0.1", None)),
    "other names": ((TRUST, "127.0.0.1",
                     [f"X_Forwarded_For: {CLIENT}", f"X-Real-IP: {CLIENT}",
                      f"X-Client-IP: {CLIENT}", f"X-Forwarded: {CLIENT}"]),
                    ("127.0.0.1", None)),
    "Forwarded": ((TRUST + 'forwarded-header = "Forwarded"\n', "127.0.0.1",
                   [f"Forwarded: for=203.0.113.1, for={CLIENT};proto=https",
                    "X-Forwarded-For: 203.0.113.2"]),
                  (CLIENT, "127.0.0.1")),
}


@pytest.mark.parametrize("name", CASES)
def test_access_log(limited, name):
    (text, source, lines), want = CASES[name]
    server = limited(text)
    http = From(server, source)
    http.send(get(*lines, target="/v2/a/tags/list").encode())
    assert http.read("GET").status == 404
    http.close()
    assert logged(server, "/v2/a/tags/list") == want


@pytest.mark.parametrize("text", ["", TRUST])
def test_answers_do_not_depend_on_them(limited, text):
    """Locations are paths whatever scheme, host or prefix is claimed."""
    http = From(limited(text), "127.0.0.1")
    lines = ["X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: https",
             "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 444",
             "X-Forwarded-Prefix: /evil", "X-Original-URL: /v2/_catalog",
             "X-Rewrite-URL: /v2/_catalog", "X-HTTP-Method-Override: DELETE",
             "Forwarded: for=192.0.2.9;proto=https;host=evil.example"]
    http.send(request("Content-Length: 0", *lines).encode())
    answer = http.read("POST")
    assert answer.status == 202
    assert answer["location"].startswith("/v2/a/blobs/uploads/")
    for target in ("/v2", "/v2/", "/v2/a/tags/list", "/v2/_catalog?n=1"):
        http.send(get(*lines, target=target).encode())
        answer = http.read("GET")
        assert answer.status in (200, 404)
        assert answer["location"] is None
        assert "evil" not in repr(answer) and "https" not in repr(answer)
    http.close()


def busy(server, client, n=0):
    """A request of `client` through the trusted proxy, in its body."""
    http = From(server, "127.0.0.1")
    # What a client says of itself differs each time, and does not count.
    line = f"X-Forwarded-For: 198.51.100.{n}, {client}"
    http.send(request(line, "Expect: 100-continue",
                      "Content-Length: 3").encode().replace(
        b"uploads/ ", b"uploads/?digest=sha256:" + b"0" * 64 + b" "))
    assert http._line() == "HTTP/1.1 100 Continue"
    assert http._line() == ""
    return http


def ask(http, client):
    http.send(get(f"X-Forwarded-For: {client}").encode())
    return http.read("GET")


def test_limit_per_client(limited):
    """Requests under way count for their client; the proxies stay open."""
    server = limited(TRUST + "max-connections-per-address = 2\n")
    crowd = [busy(server, CLIENT, n) for n in range(2)]
    other = From(server, "127.0.0.1")
    for _ in range(3):
        answer = ask(other, CLIENT)
        assert (answer.status, answer["retry-after"]) == (503, "1")
        assert answer["connection"] is None
    # The same connection serves others, and the proxy itself.
    assert ask(other, "192.0.2.8").status == 200
    assert ask(other, "10.0.0.2").status == 200
    other.send(get().encode())
    assert other.read("GET").status == 200
    crowd[0].send(b"abc")
    assert crowd[0].read("POST").code == "DIGEST_INVALID"
    wait_for(lambda: ask(other, CLIENT).status == 200)
    crowd[1].close()  # one that leaves gives its place back, too
    wait_for(lambda: '" 499 ' in server.text())
    crowd = [busy(server, CLIENT)]
    wait_for(lambda: ask(other, CLIENT).status == 200)
    for http in (*crowd, other):
        http.close()


def test_one_at_a_time_is_never_refused(limited):
    server = limited(TRUST + "max-connections-per-address = 1\n")
    http = From(server, "127.0.0.1")
    line = f"X-Forwarded-For: {CLIENT}"
    http.send((get(line) * 200).encode() + END)
    got = b""
    while data := http.sock.recv(1 << 16):
        got += data
    assert statuses(got) == [200] * 201
    http.close()


@pytest.mark.parametrize("text, what", [
    ('trusted-proxies = {"10.0.0.1/8"}', "10.0.0.1/8"),
    ('trusted-proxies = {"proxy.example"}', "proxy.example"),
    ('trusted-proxies = {"10.0.0.0/8", ""}', "''"),
    ('trusted-proxies = {"127.0.0.1:80"}', "127.0.0.1:80"),
    ('forwarded-header = "X-Real-IP"', "forwarded-header"),
])
def test_typing_errors(tmp_path, text, what):
    conf = tmp_path / "registry.conf"
    conf.write_text(text + "\n")
    with pytest.raises(AssertionError) as failed:
        run(BUILD / "berthd", "check-config", conf)
    assert what in str(failed.value)
