"""Bytes in, allowed reactions out.

Each case: a name, the bytes of a connection, the status that may come back.
Everything in REFUSED ends the connection after exactly one answer, whatever
stands behind it; everything in ANSWERED gets one answer, and the connection
takes the next request.  Wherever there is a body or what could be taken for
one, it holds a request: if that is ever answered, framing was confused.
"""

SMUGGLED = "GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n"
LENGTH = len(SMUGGLED)


def request(*lines, line="POST /v2/a/blobs/uploads/ HTTP/1.1", host="x",
            body=""):
    head = [line] + ([f"Host: {host}"] if host is not None else [])
    return "\r\n".join([*head, *lines]) + "\r\n\r\n" + body


def get(*lines, target="/v2/", **more):
    return request(*lines, line=f"GET {target} HTTP/1.1", **more)


def chunked(body):
    return request("Transfer-Encoding: chunked",
                   line="PUT /v2/a/manifests/x HTTP/1.1", body=body)


LENGTHS = ["+3", "-1", "0x3", "3abc", "3, 3", "3,3", "", "1_0", " ", "3 3",
           "9223372036854775808", "18446744073709551616", "1e3", "٣"]
CODINGS = ["gzip, chunked", "chunked, gzip", "xchunked", "identity", "",
           "\x0bchunked", "chunked\x0c", "chunked\x00", "chunked, chunked",
           "chunked;q=1", '"chunked"', "chunked,", ","]
CHUNKS = ["\r\n", "+3\r\nabc\r\n", "-1\r\n", "0x3\r\nabc\r\n",
          "1_0\r\n", " 3\r\nabc\r\n", "3 \r\nabc\r\n", "g\r\n",
          "10000000000000003\r\nabc\r\n", "ffffffffffffffff\r\nabc\r\n",
          "8000000000000000\r\n", "3\nabc\r\n0\r\n\r\n", "3\r\nabc\n",
          "3\r\nabcd\r\n", "3\r\nab\r\n0\r\n\r\n", "3;\r\nabc\r\n",
          "3;a=\r\nabc\r\n", "3;=b\r\nabc\r\n", '3;a="b\r\nabc\r\n',
          "3;a=\x01\r\nabc\r\n", "3;a=" + "b" * 300 + "\r\nabc\r\n",
          "0\r\nT\r\n\r\n", "0\r\n: x\r\n\r\n", "0\r\nA b: x\r\n\r\n",
          "0\r\n x\r\n\r\n", "0\r\nT: a\x00\r\n\r\n", "0\r\nT: x\n\r\n",
          "0\r\n" + f"T: {'x' * 1000}\r\n" * 9 + "\r\n"]
HEADERS = {
    "blank before the colon": "X : v", "tab before the colon": "X\t: v",
    "folded": "X: a\r\n b", "folded by a tab": "X: a\r\n\tb",
    "empty name": ": v", "no colon": "Novalue", "blank in the name": "A b: v",
    "separator in the name": "A(b): v", "high byte in the name": "Aä: v",
    "bare CR": "X: a\rb", "NUL": "X: a\x00b", "BEL": "X: a\x07b",
    "DEL": "X: a\x7fb", "CR before the end": "X: a\r",
}
HOSTS = ["", "a b", "a,b", "u@h", "h/p", "a:b", "a:123456", "[::1",
         "[]", "[x]"]
TARGETS = ["", "v2/", "\\v2", "/v2/\x7f", "/v2/ä", "/a#b", "/v2/<a>", '/"a"',
           "*", "http:///v2/", "http://", "ftp://x/v2/", "x:80", "/a|b",
           "/a^b", "/a`b", "/{a}"]
VERSIONS = {"HTTP/2.0": 505, "HTTP/3.0": 505, "HTTP/9.9": 505,
            "HTTP/0.9": 400, "http/1.1": 400, "HTTP/01.1": 400, "HTTP/1": 400,
            "HTTP/1.": 400, "HTTP/1.10": 400, "HTTP/1.1 ": 400, "HTTP/x.1": 400,
            "HTTP/-1.1": 400, "HTPT/1.1": 400, "": 400}

REFUSED = {
    "TE and CL": (request("Transfer-Encoding: chunked", "Content-Length: 5",
                          body="0\r\n\r\n" + SMUGGLED), 400),
    "CL and TE": (request(f"Content-Length: {LENGTH}",
                          "Transfer-Encoding: chunked",
                          body="0\r\n\r\n" + SMUGGLED), 400),
    "two lengths": (request("Content-Length: 0", f"Content-Length: {LENGTH}",
                            body=SMUGGLED), 400),
    "the same length twice": (request("Content-Length: 0", "Content-Length: 0",
                                      body=SMUGGLED), 400),
    "two codings": (request("Transfer-Encoding: chunked",
                            "Transfer-Encoding: chunked",
                            body="0\r\n\r\n" + SMUGGLED), 400),
    "a coding that we do not know": (request("Transfer-Encoding: gzip",
                                             body=SMUGGLED), 501),
    "TE in HTTP/1.0": (request(
        "Transfer-Encoding: chunked", line="POST /v2/ HTTP/1.0",
        body="0\r\n\r\n" + SMUGGLED), 400),
    "no Host": (get(host=None), 400),
    "two Hosts": (get("Host: x"), 400),
    "Host of another than the target": (get(target="http://y/v2/"), 400),
    "userinfo in the target": (get(target="http://u@x/v2/"), 400),
    "no target": ("GET HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "two blanks": ("GET  /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "two blanks later": ("GET /v2/  HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a tab": ("GET\t/v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a blank at the start": (" GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a method that is no token": ("G(T /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "three empty lines": ("\r\n\r\n\r\n" + get(), 400),
    "LF for an empty line": ("\n" + get(), 400),
    "LF only": (get().replace("\r\n", "\n"), 400),
    "LF after the request line": (get().replace("\r\n", "\n", 1), 400),
    "LF at the end": (get()[:-2] + "\n" + SMUGGLED, 400),
    "a folded first header": ("GET /v2/ HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    "the HTTP/2 preface": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/0.9": ("GET /v2/\r\n", 400),
    "TLS": ("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + "a" * 30, 400),
    "SSH": ("SSH-2.0-OpenSSH_9.2\r\n", 400),
    "CONNECT": ("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "TRACE": ("TRACE /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "an unknown method": ("BREW /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "a method in lower case": ("get /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "another expectation": (request("Expect: tea", "Content-Length: 1"), 417),
    "a target of 8 KiB": (get(target="/" + "a" * 8200), 414),
    "a header of 16 KiB": (get("A: " + "a" * 16400), 431),
    "a head of 32 KiB": (get(*["A: " + "a" * 9000] * 4), 431),
    "101 headers": (get(*["A: b"] * 101), 431),
    "a large body on GET": (get("Content-Length: 70000", body="a" * 70000),
                            413),
    "a large body on DELETE": (request(
        "Content-Length: 70000", line="DELETE /v2/a/manifests/x HTTP/1.1",
        body="a" * 70000), 413),
    **{f"length {v!r}": (request(f"Content-Length: {v}", body=SMUGGLED), 400)
       for v in LENGTHS},
    **{f"coding {v!r}": (request(f"Transfer-Encoding: {v}",
                                 body="0\r\n\r\n" + SMUGGLED), (400, 501))
       for v in CODINGS},
    **{f"chunk {v[:20]!r}": (chunked(v + SMUGGLED), 400) for v in CHUNKS},
    **{f"header with {k}": (get(v), 400) for k, v in HEADERS.items()},
    **{f"Host {v!r}": (get(host=v), 400) for v in HOSTS},
    **{f"target {v!r}": (get(target=v), 400) for v in TARGETS},
    **{f"version {v!r}": (f"GET /v2/ {v}\r\nHost: x\r\n\r\n", s)
       for v, s in VERSIONS.items()},
}

PATHS = ["%", "%2", "%zz", "%00", "%2f", "%2F", "%5c", "%25", "%252e", ".",
         "..", "%2e", "%2e%2e", "a//b", "a/./b", "a/../b", "%c0%af",
         "%e0%80%af", "%ff", "%ed%a0%80", "%f8%88%80%80%80", "a%0ab", "a%7fb"]

ANSWERED = {
    "two empty lines": ("\r\n\r\n" + get(), 200),
    "absolute target": (get(target="http://x/v2/"), 200),
    "absolute target with https": (get(target="HTTPS://X/v2/"), 200),
    "HTTP/1.9": ("GET /v2/ HTTP/1.9\r\nHost: x\r\n\r\n", 200),
    "no blank after the colon": ("GET /v2/ HTTP/1.1\r\nHost:x\r\n\r\n", 200),
    "blanks and tabs around a value": (get("A: \t v \t "), 200),
    "high bytes in a value": (get("A: \xe4\xff"), 200),
    "an empty value": (get("A:"), 200),
    "Host with a port": (get(host="registry.example:5000"), 200),
    "Host with an empty port": (get(host="h:"), 200),
    "Host in brackets": (get(host="[2001:db8::1]:80"), 200),
    "100 headers": (get(*["A: b"] * 99), 200),
    "a target of almost 8 KiB": (get(target="/" + "a" * 8100), 404),
    "an underscore is no hyphen": (get(f"Content_Length: {LENGTH}",
                                       "Transfer_Encoding: chunked"), 200),
    "a body on GET": (get(f"Content-Length: {LENGTH}", body=SMUGGLED), 200),
    "a chunked body on GET": (get(
        "Transfer-Encoding: chunked",
        body=f"{LENGTH:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"), 200),
    "a chunked body on DELETE": (request(
        "Transfer-Encoding: chunked",
        line="DELETE /v2/a/manifests/x HTTP/1.1",
        body=f"{LENGTH:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"), 404),
    "a body that is refused": (request(
        f"Content-Length: {LENGTH}", line="PUT /v2/ HTTP/1.1",
        body=SMUGGLED), 405),
    "a body where none is read": (request(f"Content-Length: {LENGTH}",
                                          body=SMUGGLED), 202),
    "Upgrade": (get("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings",
                    "HTTP2-Settings: AAMAAABkAAQAAP__"), 200),
    "OPTIONS *": ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 204),
    "chunks with extensions": (chunked(
        '3;a=b\r\nabc\r\n3;a="b;c\\"";d\r\nabc\r\n00\r\n\r\n'), 400),
    "chunks with trailers": (chunked(
        f"3\r\nabc\r\n0\r\nContent-Length: {LENGTH}\r\nHost: y\r\n\r\n"), 400),
    "a chunk size in 16 digits": (chunked(
        "0000000000000003\r\nabc\r\n0\r\n\r\n"), 400),
    **{f"path {p!r}": (get(target=f"/v2/{p}/tags/list"), 400) for p in PATHS},
}
