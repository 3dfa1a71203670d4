"""The HTTP engine over a socket: malformed input, framing, limits."""

import os
import random
import resource
import socket
import subprocess
import time

import pytest

from conftest import VARIANT
from figures import figure
from http_cases import ANSWERED, LAST, REFUSED, chunked, get, request
from rawhttp import sha256
from waiting import wait_for

DEADLINE_S = 60
NO_REQUEST = (400, 408, 414, 431)
END = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def converse(port, *pieces, before=None):
    """All that comes back until the server ends the connection; before(sock)
    stands before each piece."""
    sock = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    got = b""
    try:
        for piece in pieces:
            if before:
                before(sock)
            sock.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    try:
        while data := sock.recv(1 << 16):
            got += data
    except ConnectionResetError:
        pass
    sock.close()
    return got


def statuses(got):
    return [int(part[:3]) for part in got.split(b"HTTP/1.1 ")[1:]]


@figure("HTTP cases", "refused")
@pytest.mark.parametrize("name", REFUSED)
def test_refused(shared, name):
    """One answer, then the end: nothing behind is ever read as a request."""
    text, status = REFUSED[name]
    got = converse(shared.port, text.encode("latin-1", "replace") + END)
    assert statuses(got) == [status], got
    assert b"\r\nConnection: close\r\n" in got
    assert b"repositories" not in got


@figure("HTTP cases", "answered")
@pytest.mark.parametrize("name", ANSWERED)
def test_answered(shared, name):
    """One answer, and the connection goes on with what stands behind."""
    text, status = ANSWERED[name]
    got = converse(shared.port, text.encode("latin-1") + END)
    assert statuses(got) == [status, 200], got
    assert b"repositories" not in got


@figure("HTTP cases", "answered last")
@pytest.mark.parametrize("name", LAST)
def test_last(shared, name):
    """One answer, and what stands behind is not looked at."""
    text, status = LAST[name]
    got = converse(shared.port, text.encode("latin-1") + END)
    assert statuses(got) == [status], got
    assert b"\r\nConnection: close\r\n" in got
    assert b"repositories" not in got


# -- framing --------------------------------------------------------------------

def valid_requests(repo):
    """(bytes, number of answers), of every kind of framing."""
    blob = b"GET / HTTP/1.1\r\n\r\n"
    post = request(f"Content-Length: {len(blob)}",
                   line=f"POST /v2/{repo}/blobs/uploads/?digest="
                   f"{sha256(blob)} HTTP/1.1").encode() + blob
    stream = (f"POST /v2/{repo}/blobs/uploads/?digest={sha256(blob)} HTTP/1.1"
              "\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").encode()
    for i in range(0, len(blob), 5):
        stream += b"%x;a=b\r\n%s\r\n" % (len(blob[i:i + 5]), blob[i:i + 5])
    stream += b"0\r\nT: v\r\n\r\n"
    read = (f"GET /v2/{repo}/blobs/{sha256(blob)} HTTP/1.1\r\nHost: x\r\n\r\n"
            ).encode()
    return [post, stream, post + read + read + stream]


def test_any_number_of_pipelined_requests(shared):
    requests = b"".join(b"GET /v2/p/%d/tags/list HTTP/1.1\r\nHost: x\r\n\r\n"
                        % i for i in range(200))
    got = converse(shared.port, requests + END)
    assert statuses(got) == [404] * 200 + [200]


def mutate(rng, text):
    """A few bytes changed, dropped, doubled, or lines shuffled."""
    data = bytearray(text)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data))
        what = rng.randrange(6)
        if what == 0:
            data[at] = rng.randrange(256)
        elif what == 1:
            del data[at:at + rng.randrange(1, 8)]
        elif what == 2:
            data[at:at] = bytes(rng.choices(b"\r\n :;,\t\0a1\xff", k=3))
        elif what == 3:
            data[at:at] = data[at:at + 20]
        elif what == 4:
            lines = bytes(data).split(b"\r\n")
            rng.shuffle(lines)
            data = bytearray(b"\r\n".join(lines))
        else:
            data[at:at] = rng.choice([
                b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
                b"\r\n", b"0\r\n\r\n", b"Host: y\r\n"])
        if not data:
            data = bytearray(b"\r\n")
    return bytes(data)


def test_mutations(berthd):
    """Never more answers than requests that were written, and no crash."""
    rounds = 100000 if os.environ.get("BERTH_LONG") else 1500
    seed = int(os.environ.get("BERTH_TEST_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    rng = random.Random(seed)
    texts = valid_requests("mutated") + [
        get().encode(), chunked("3\r\nabc\r\n0\r\n\r\n").encode()]
    client = berthd.client()
    before = None
    for i in range(rounds):
        text = mutate(rng, rng.choice(texts))
        sock = socket.create_connection(("127.0.0.1", berthd.port), DEADLINE_S)
        try:
            sock.sendall(text)
            sock.shutdown(socket.SHUT_WR)
            got = b""
            while data := sock.recv(1 << 16):
                got += data
        except (BrokenPipeError, ConnectionResetError):
            got = b""
        sock.close()
        # A request has a version at least; the first bytes that are none
        # are refused, once, and end the connection.
        answers, most = statuses(got), text.count(b"HTTP/")
        assert len(answers) <= most + 1, (seed, i, text, got)
        assert len(answers) <= most or answers[-1] in NO_REQUEST, (
            seed, i, text, got)
        if i == rounds // 2:
            assert client("GET", "/livez").status == 200
            before = berthd.memory_kib("VmRSS")
    assert client("GET", "/livez").status == 200
    assert berthd.memory_kib("VmRSS") < before * 1.5 + 16384
    client.close()


def test_large_chunked_body_on_get(shared):
    """Some is read away; more than that ends the connection."""
    got = converse(shared.port, get(
        "Transfer-Encoding: chunked", body="fffff\r\n").encode()
        + bytes(200000) + END)
    assert statuses(got) == [200]


# -- limits ------------------------------------------------------------------------

@pytest.mark.parametrize("key, value, text, status", [
    ("head-bytes", 300, get("A: " + "a" * 100, "B: " + "b" * 200), 431),
    ("target-bytes", 100, get(target="/" + "a" * 100), 414),
    ("header-bytes", 100, get("A: " + "a" * 100), 431),
    ("header-count", 3, get("A: b", "A: b", "A: b"), 431),
])
def test_sizes_by_configuration(limited, key, value, text, status):
    server = limited(f"{key} = {value}\n")
    assert statuses(converse(server.port, text.encode())) == [status]
    client = server.client()
    assert client("GET", "/v2/").status == 200
    client.close()


def drip(sock, pause_s):
    """Send a byte now and then until an answer comes; the answer."""
    sock.setblocking(False)
    begin, got = time.monotonic(), b""
    while not got:
        assert time.monotonic() - begin < DEADLINE_S
        try:
            sock.send(b"a")
            got = sock.recv(4096)
        except BlockingIOError:
            time.sleep(pause_s)
    return got


def test_head_time_is_absolute(limited):
    """Bytes that go on coming do not stretch it."""
    server = limited("head-timeout = 300\n")
    sock = socket.create_connection(("127.0.0.1", server.port), DEADLINE_S)
    sock.send(b"GET /v2/ HTTP/1.1\r\nA: ")
    assert statuses(drip(sock, 0.01)) == [408]
    sock.close()


def test_idle_time(limited):
    server = limited("idle-timeout = 50\n")
    client = server.client()
    assert client("GET", "/v2/").status == 200
    assert client.sock.recv(1) == b""
    client.close()


def test_slow_body(limited):
    """Each window must bring its bytes, however evenly they come."""
    server = limited("body-window = 100\nbody-rate = 100000\n")
    client = server.client()
    where = client.begin("a")
    client.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\nContent-Length: "
                "1000000\r\n\r\n".encode())
    assert statuses(drip(client.sock, 0.005)) == [408]
    client.close()


def test_slow_reader(limited):
    server = limited("body-window = 500\nbody-idle = 2000\n")
    client = server.client()
    data = bytes(1 << 20) * 48
    path = f"/v2/a/blobs/{client.push_blob('a', data)}"
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", server.port))
    slow.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    wait_for(lambda: f'"GET {path}" 200' in server.text())
    line = next(one for one in server.log if f'"GET {path}" 200' in one)
    assert "cut" in line
    slow.close()
    assert client("GET", path).body == data
    client.close()


def test_body_that_stands_still(limited):
    """Even where no speed is asked for."""
    server = limited("body-window = 50\nbody-rate = 0\nbody-idle = 200\n")
    client = server.client()
    where = client.begin("a")
    client.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\nContent-Length: "
                "1000000\r\n\r\nabc".encode())
    answer = client.read("PATCH")
    assert (answer.status, answer["connection"]) == (408, "close")
    wait_for(lambda: client("GET", where)["range"] == "0-2")  # what came
    client.close()


def test_reader_that_is_slow_but_steady(limited):
    """Each window must take its bytes, however evenly they go."""
    server = limited("body-window = 200\nbody-rate = 100000000\n")
    client = server.client()
    data = bytes(1 << 20) * 48
    path = f"/v2/a/blobs/{client.push_blob('a', data)}"
    client.close()
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(DEADLINE_S)
    slow.connect(("127.0.0.1", server.port))
    slow.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    got = 0
    while f'"GET {path}" 200' not in server.text():
        got += len(slow.recv(1000))
        time.sleep(0.005)
    line = next(one for one in server.log if f'"GET {path}" 200' in one)
    assert "cut" in line and got < len(data)
    slow.close()


def test_requests_per_connection(limited):
    server = limited("requests-per-connection = 3\n")
    client = server.client()
    closing = [client("GET", "/v2/")["connection"] for _ in range(6)]
    assert closing == [None, None, "close"] * 2
    client.close()


def busy_connection(server, repo="busy"):
    """A connection in the middle of an upload's body."""
    client = server.client()
    where = client.begin(repo)
    client.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue"
                "\r\nContent-Length: 100000\r\n\r\n".encode())
    assert client._line() == "HTTP/1.1 100 Continue"
    return client


def test_overload(limited):
    """Idle connections go first; when all are busy, a newcomer gets 503."""
    server = limited("max-connections = 8\n")
    idle = [server.client() for _ in range(8)]
    for client in idle:
        assert client("GET", "/v2/").status == 200
    busy = [busy_connection(server) for _ in range(8)]
    for client in idle:
        assert client.sock.recv(1) == b""
    for _ in range(3):
        late = server.client()
        late.connect()
        answer = late.read()
        assert (answer.status, answer["retry-after"]) == (503, "1")
        assert late.sock is None
    busy.pop().close()
    wait_for(lambda: status_or_503(server) == 200)
    for client in busy:
        client.close()


def status_or_503(server):
    client = server.client()
    try:
        return client("GET", "/v2/").status
    except (BrokenPipeError, ConnectionResetError, EOFError):
        return 503
    finally:
        client.close()


def cpu_s(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_limit_of_open_files_counts(limited):
    """What cannot be held is not promised, and the log says so."""
    server = limited("max-connections = 5000\n",
                     wrapper=("prlimit", "--nofile=1200:1200"))
    assert "max-connections is 688, not 5000" in server.text()
    server = limited("max-connections = 600\n",
                     wrapper=("prlimit", "--nofile=1200:1200"))
    assert "max-connections is" not in server.text()


def test_no_descriptors(limited):
    """Nothing spins, nobody is cut off, and it recovers."""
    server = limited("max-connections = 1000\n")
    open_fds = len(os.listdir(f"/proc/{server.proc.pid}/fd"))
    limit = open_fds + 8
    resource.prlimit(server.proc.pid, resource.RLIMIT_NOFILE, (limit, limit))
    crowd = []
    for _ in range(40):
        crowd.append(socket.create_connection(("127.0.0.1", server.port), 5))
    before, begin = cpu_s(server.proc.pid), time.monotonic()
    while time.monotonic() - begin < 1:
        time.sleep(0.05)
    spent = cpu_s(server.proc.pid) - before
    assert spent < 0.5 * (time.monotonic() - begin), spent
    for sock in crowd:
        sock.close()
    wait_for(lambda: status_or_503(server) == 200)


def test_many_slow_heads(limited):
    """All are cut in time, and others are served meanwhile."""
    server = limited("head-timeout = 1000\n")
    crowd = []
    for _ in range(500):
        sock = socket.create_connection(("127.0.0.1", server.port), DEADLINE_S)
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nHo")
        crowd.append(sock)
    client = server.client()
    _, digest = client.push_image("a", "v1")
    times = []
    for _ in range(200):
        begin = time.monotonic()
        assert client("GET", f"/v2/a/manifests/{digest}").status == 200
        times.append(time.monotonic() - begin)
    for sock in crowd:
        got = b""
        while data := sock.recv(4096):
            got += data
        assert statuses(got) == [408]
        sock.close()
    assert sorted(times)[197] < 1.0  # the goal is 0.1 on a quiet machine
    client.close()


@pytest.mark.parametrize("is_proxy", [False, True])
def test_connections_per_address(limited, is_proxy):
    """From a network of its own, since the loopback has no limit.

    The connections of a trusted proxy do not count: its clients' requests do.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root to make a network namespace")
    name = f"berth{os.getpid()}"
    # Of the range for benchmarks; other runs on this host have their own.
    number = os.getpid() % 16384
    net = f"198.18.{number // 64}.{number % 64 * 4}".rsplit(".", 1)
    ours, theirs = (f"{net[0]}.{int(net[1]) + i}" for i in (1, 2))

    def ip(*args):
        subprocess.run(["ip", *args], check=True, stdin=subprocess.DEVNULL)

    script = (
        "import socket, sys\n"
        "socks = []\n"
        "for i in range(7):\n"
        "    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)\n"
        "    s.sendall(b'GET /v2/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
        "    print(s.recv(12).decode()[9:], flush=True)\n"
        "    socks.append(s)\n")
    ip("netns", "add", name)
    try:
        ip("link", "add", name[:12] + "h", "type", "veth", "peer", "name",
           "eth0", "netns", name)
        ip("addr", "add", f"{ours}/30", "dev", name[:12] + "h")
        ip("link", "set", name[:12] + "h", "up")
        ip("-n", name, "addr", "add", f"{theirs}/30", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        server = limited("max-connections-per-address = 4\n"
                         "allow-anonymous = true\n" +
                         f'trusted-proxies = {{"{theirs}"}}\n' * is_proxy,
                         listen=f"{ours}:0")
        done = subprocess.run(
            ["ip", "netns", "exec", name, "/usr/bin/python3", "-c", script,
             ours, str(server.port)], capture_output=True, text=True,
            timeout=DEADLINE_S, stdin=subprocess.DEVNULL)
        wanted = ["200"] * 7 if is_proxy else ["200"] * 4 + ["503"] * 3
        assert done.stdout.split() == wanted, done
    finally:
        ip("netns", "del", name)


# -- what one request may cost ------------------------------------------------------

def index_of(count):
    child = ('{"mediaType":"a/b","digest":"sha256:' + "0" * 64
             + '","size":1}')
    return ('{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index'
            '.v1+json","manifests":[' + ",".join([child] * count) + "]}"
            ).encode()


BOMBS = {
    "objects": b'{"a":[' + b"{}," * 1_390_000 + b"{}]}",
    "numbers": b'{"a":[' + b"1," * 2_000_000 + b"1]}",
    "depth": b'{"a":' * 33 + b"1" + b"}" * 33,
    "depth of lists": b"[" * 2_000_000,
    "one string": b'{"a":"' + b"x" * 4_100_000 + b'"}',
    "escapes": b'{"a":"' + b"\\u0041" * 690_000 + b'"}',
    "entries": index_of(10_001),
}


@pytest.mark.parametrize("name", BOMBS)
def test_manifest_bombs(berthd, name):
    """Refused, for little more memory than the bytes themselves."""
    body = BOMBS[name]
    assert len(body) <= 4 << 20
    http = berthd.client()
    http.put_manifest("a", "v", b"{}")
    before = berthd.memory_kib("VmHWM")
    for _ in range(3):
        answer = http.put_manifest("a", "v", body)
        assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")
    if VARIANT == "release":
        assert berthd.memory_kib("VmHWM") - before < 48 * 1024
    assert http("HEAD", "/v2/a/manifests/v").status == 404
    http.close()


def test_page_sizes_cost_nothing(berthd):
    http = berthd.client()
    http.push_image("a", "v")
    before = berthd.memory_kib("VmHWM")
    for n in ("1000", "18446744073709551615", "9" * 5000):
        assert http("GET", f"/v2/a/tags/list?n={n}").json()["tags"] == ["v"]
        assert http("GET", f"/v2/_catalog?n={n}").status == 200
    assert berthd.memory_kib("VmHWM") - before < 4 * 1024
    http.close()


def test_upload_sessions_are_bounded(berthd):
    """The longest idle one goes, the others stay."""
    http = berthd.client()
    first, second = http.begin("a"), http.begin("a")
    request = b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n" \
              b"Content-Length: 0\r\n\r\n"
    left = 9999
    while left:
        http.close()  # a connection takes so many requests
        count = min(left, 900)
        http.send(request * count)
        for _ in range(count):
            assert http.read("POST").status == 202
        left -= count
    http.close()
    assert http("GET", first).status == 404
    assert http("GET", second).status == 204
    http.close()


def test_endless_upload_takes_constant_memory(berthd):
    http = berthd.client()
    size = (8 << 30) if os.environ.get("BERTH_LONG") else (256 << 20)
    where = http.begin("a")
    http.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\n"
              "Transfer-Encoding: chunked\r\n\r\n".encode())
    piece = b"%x\r\n%s\r\n" % (1 << 20, bytes(1 << 20))
    before = berthd.memory_kib("VmHWM")
    for _ in range(size >> 20):
        http.send(piece)
    http.send(b"0\r\n\r\n")
    answer = http.read("PATCH")
    assert (answer.status, answer["range"]) == (202, f"0-{size - 1}")
    if VARIANT == "release":
        assert berthd.memory_kib("VmHWM") - before < 8 * 1024
    assert http("DELETE", where, b"").status == 204
    http.close()
