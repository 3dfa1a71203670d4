"""Two readers of the same bytes: a proxy in front, and berthd behind it.

Whatever a client sends through a proxy, both must agree where each request
ends.  The proxies add the address of their client to every request that they
see, and each case has an address of its own; so berthd's log says which
request is whose, and one that the proxy has not seen as a request is nobody's.
The proxy's own log says how many there are.
The proxies keep one connection to berthd for all clients: a request, or an
answer, that is one too many there would meet the next client, and that one
asks for a blob of its own after each case.
"""

import os
import pathlib
import random
import re
import socket
from collections import Counter

import pytest

from conftest import Berthd
from figures import figure
from http_cases import ANSWERED, LAST, REFUSED, chunked, get
from proxies import Proxy, haproxy, nginx
from rawhttp import Client
from test_http import END, mutate, valid_requests
from waiting import wait_for

NGINX_HASTE = ("client_header_timeout 1s; client_body_timeout 1s; "
               "keepalive_timeout 1s; lingering_timeout 1s;")
LENIENT = "ignore_invalid_headers off; underscores_in_headers on;"
PATIENCE_S = 3  # requests that are not complete end by it, or by a proxy's
SET_UPS = {
    "nginx": (nginx, False, {"more": NGINX_HASTE}),
    "nginx-unbuffered": (nginx, False, {"more": NGINX_HASTE,
                                        "buffering": "off"}),
    "nginx-http10": (nginx, False, {"more": NGINX_HASTE, "version": "1.0"}),
    "nginx-lenient": (nginx, False, {"more": NGINX_HASTE + LENIENT,
                                     "buffering": "off"}),
    "haproxy": (haproxy, False, {"patience": "1s"}),
    "haproxy-lenient": (haproxy, False, {
        "patience": "1s", "more": "option accept-invalid-http-request"}),
}
MUTATIONS = 3000 if os.environ.get("BERTH_LONG") else 150
# Without a client of the proxy's: what is refused unread, and this test's own.
REFUSALS = (400, 408, 413, 414, 417, 431, 501, 505)
OWN = ("/v2/other/", "/v2/end-of-it/")
LINE = re.compile(r'(\S+) "(\S*) (\S*)" (\d+) sent=')


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smuggling")
    conf = folder / "registry.conf"
    conf.write_text('trusted-proxies = {"127.0.0.1"}\n')
    one = Berthd(folder / "data", "--config", str(conf))
    yield one
    one.stop()


@pytest.fixture(params=SET_UPS)
def proxy(request, server, tmp_path_factory):
    folder = pathlib.Path(tmp_path_factory.mktemp(request.param))
    folder.chmod(0o755)
    one = Proxy(folder, server, SET_UPS[request.param])
    yield one
    one.stop()


def send(port, source, text):
    """Until the proxy ends the connection, or the client has enough of it;
    what it answers is its own."""
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S,
                                    source_address=(source, 0))
    try:
        sock.sendall(text)
        while sock.recv(1 << 16):
            pass
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        pass
    sock.close()


class Other:
    """Somebody with blobs of his own, who must never get anything else."""

    def __init__(self, server, port):
        http = server.client()
        self.blobs = {}
        for i in range(3):
            data = random.Random(i).randbytes(100 + i)
            self.blobs[f"/v2/other/blobs/{http.push_blob('other', data)}"] = data
        http.close()
        self.http = Client(port)

    def look(self, case):
        for path, data in self.blobs.items():
            answer = self.get(path)
            if answer.status == 408:  # we were slow, on a busy machine
                answer = self.get(path)
            assert (answer.status, answer.body) == (200, data), case

    def get(self, path):
        return self.http("GET", path, None, {"Connection": "close"})

    def close(self):
        self.http.close()


def texts(rng):
    """(name, bytes) of all cases, and of some mutations of right requests."""
    for cases in (REFUSED, ANSWERED, LAST):
        for name, (text, _) in cases.items():
            yield name, text.encode("latin-1", "replace")
    right = valid_requests("mutated") + [
        get().encode(), chunked("3\r\nabc\r\n0\r\n\r\n").encode()]
    for i in range(MUTATIONS):
        yield f"mutation {i}", mutate(rng, rng.choice(right))


@figure("HTTP cases", "set-ups that agree on every case")
def test_both_agree(server, proxy):
    seed = int(os.environ.get("BERTH_TEST_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    start = len(server.log)
    other = Other(server, proxy.port)
    cases = {}
    for i, (name, text) in enumerate(texts(random.Random(seed))):
        source = f"127.1.{i // 250}.{i % 250 + 1}"
        send(proxy.port, source, text + END)
        cases[source] = (name, text)
        other.look((seed, name, text))
    other.close()
    server.client()("GET", "/v2/end-of-it/tags/list")
    wait_for(lambda: "/v2/end-of-it/" in server.text())
    seen = Counter()
    for line in server.log[start:]:
        if not (found := LINE.search(line)):
            continue
        who, method, target, status = found.groups()
        if " via=" in line:
            seen[who] += 1
        else:
            assert who.startswith("127.0.0.1:"), line
            assert (int(status) in REFUSALS or method in ("CONNECT", "TRACE")
                    or target.startswith(OWN)), line
    # The proxy's log, too, is written after the answers.
    try:
        wait_for(lambda: not seen - proxy.passed_on())
    except AssertionError:
        over = seen - proxy.passed_on()
        assert not over, (seed, [cases[who] for who in over])
    assert sum(seen.values()) > len(cases) // 10
