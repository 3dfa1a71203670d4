"""Bytes in, allowed reactions out.

Each case: a name, the bytes of a connection, the status that may come back.
Everything in REFUSED ends the connection after exactly one answer, whatever
stands behind it; everything in ANSWERED gets one answer, and the connection
takes the next request; what is in LAST is right, and gets one answer that is
the connection's last.  Wherever there is a body or what could be taken for
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
CODINGS = {**dict.fromkeys(
    ["gzip, chunked", "chunked, gzip", "identity", "", "\x0bchunked",
     "chunked\x0c", "chunked\x00", "chunked, chunked", "chunked;q=1",
     '"chunked"', "chunked,", ",", "chunked chunked", "chunked\xa0"], 400),
    # Well-formed, and one that we do not know.
    "gzip": 501, "xchunked": 501, "chunked1": 501}
CHUNKS = ["\r\n", "+3\r\nabc\r\n", "-1\r\n", "0x3\r\nabc\r\n",
          "1_0\r\n", " 3\r\nabc\r\n", "3 \r\nabc\r\n", "g\r\n",
          "10000000000000003\r\nabc\r\n", "ffffffffffffffff\r\nabc\r\n",
          "8000000000000000\r\n", "3\nabc\r\n0\r\n\r\n", "3\r\nabc\n",
          "3\r\nabcd\r\n", "3\r\nab\r\n0\r\n\r\n", "3;\r\nabc\r\n",
          "3;a=\r\nabc\r\n", "3;=b\r\nabc\r\n", '3;a="b\r\nabc\r\n',
          "3;a=\x01\r\nabc\r\n", "3;a=" + "b" * 300 + "\r\nabc\r\n",
          "0\r\nT\r\n\r\n", "0\r\n: x\r\n\r\n", "0\r\nA b: x\r\n\r\n",
          "0\r\n x\r\n\r\n", "0\r\nT: a\x00\r\n\r\n", "0\r\nT: x\n\r\n",
          "0\r\n" + f"T: {'x' * 1000}\r\n" * 9 + "\r\n",
          # One byte over what is taken: 256 of a line, 8 KiB of trailers.
          f"3;a={'b' * 253}\r\nabc\r\n0\r\n\r\n",
          f"0\r\nT: {'x' * 8187}\r\n\r\n",
          # LF alone and CR alone, wherever a line ends.
          "0\n\r\n", "0\r\n\n", "3\r\nabc\n0\r\n\r\n", "3\rabc\r\n0\r\n\r\n",
          "3\r\nabc\r0\r\n\r\n", "3\r\r\nabc\r\n0\r\n\r\n",
          "0\r\nT: a\rb\r\n\r\n", "0\r\nT: a\n\r\n", "0\r\nT: a\r\n\n",
          "3\r\n\nabc\r\n0\r\n\r\n", "0;\xe4=b\r\n\r\n", "3;a\x00\r\nabc\r\n",
          "0\r\nT : a\r\n\r\n", "0\r\nT: a\r\n b\r\n\r\n"]
HEADERS = {
    "blank before the colon": "X : v", "tab before the colon": "X\t: v",
    "folded": "X: a\r\n b", "folded by a tab": "X: a\r\n\tb",
    "empty name": ": v", "no colon": "Novalue", "blank in the name": "A b: v",
    "separator in the name": "A(b): v", "high byte in the name": "Aä: v",
    "bare CR": "X: a\rb", "NUL": "X: a\x00b", "BEL": "X: a\x07b",
    "DEL": "X: a\x7fb", "CR before the end": "X: a\r",
    "CR in the name": "A\rb: v", "CR after the colon": "X:\rv",
    "LF": "X: a\nB: c", "LF and CR": "X: a\n\rB: c",
    "a folded coding": "Transfer-Encoding:\r\n chunked",
    "blank before a coding's colon": "Transfer-Encoding : chunked",
    "blank before a length's colon": f"Content-Length : {LENGTH}",
    "tab before a length's colon": f"Content-Length\t: {LENGTH}",
    "a length in a folded line": f"X: a\r\n Content-Length: {LENGTH}",
    **{f"byte {c:#04x}": f"X: a{chr(c)}b" for c in range(32)
       if chr(c) not in "\t"},
}
HOSTS = ["", "a b", "a,b", "u@h", "h/p", "a:b", "a:123456", "[::1",
         "[]", "[x]", "a\tb", "a:80:80", "a:-1", "a/", "a?b", "a#b", "a\\b",
         "a%41", "\"a\"", "a;b", "a\xe4"]
TARGETS = ["", "v2/", "\\v2", "/v2/\x7f", "/v2/ä", "/a#b", "/v2/<a>", '/"a"',
           "*", "http:///v2/", "http://", "ftp://x/v2/", "x:80", "/a|b",
           "/a^b", "/a`b", "/{a}", "/v2/a b", "/v2/\x01", "/v2/\x00",
           "/v2/a\\b", "/v2/a\tb", "/v2/a\rb", "https://x:80/v2/",
           "http://x@x/v2/", "http://x?a/v2/", "//x/v2/ "]
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
    "two lengths in two cases": (request(
        f"content-length: {LENGTH}", "CONTENT-LENGTH: 0", body=SMUGGLED), 400),
    "TE, CL and HTTP/1.0": (request(
        "Content-Length: 5", "Transfer-Encoding: chunked",
        line="POST /v2/ HTTP/1.0", body="0\r\n\r\n" + SMUGGLED), 400),
    "a coding and no coding": (request(
        "Transfer-Encoding: chunked", "Transfer-encoding: identity",
        body="0\r\n\r\n" + SMUGGLED), 400),
    "two codings": (request("Transfer-Encoding: chunked",
                            "Transfer-Encoding: chunked",
                            body="0\r\n\r\n" + SMUGGLED), 400),
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
    "a tab later": ("GET /v2/\tHTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "CR for a blank": ("GET\r/v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "two CR": ("GET /v2/ HTTP/1.1\r\r\nHost: x\r\n\r\n", 400),
    "a blank at the end": ("GET /v2/ HTTP/1.1 \r\nHost: x\r\n\r\n", 400),
    "LF after one header": (get("A: b\nC: d"), 400),
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
    "CONNECT with a body": (request(
        f"Content-Length: {LENGTH}", line="CONNECT x:443 HTTP/1.1",
        body=SMUGGLED), 405),
    "TRACE with a body": (request(
        f"Content-Length: {LENGTH}", line="TRACE /v2/ HTTP/1.1",
        body=SMUGGLED), 405),
    "an unknown method with a body": (request(
        f"Content-Length: {LENGTH}", line="BREW /v2/ HTTP/1.1",
        body=SMUGGLED), 501),
    "HEAD of everything": ("HEAD * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "PUT of everything": ("PUT * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "an unknown method": ("BREW /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "a method in lower case": ("get /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "another expectation": (request("Expect: tea", "Content-Length: 1"), 417),
    "two expectations": (request("Expect: 100-continue, tea",
                                 "Content-Length: 1"), 417),
    "an empty expectation": (request("Expect:", "Content-Length: 1"), 417),
    "a target of 8 KiB": (get(target="/" + "a" * 8200), 414),
    "a header of 16 KiB": (get("A: " + "a" * 16400), 431),
    "a head of 32 KiB": (get(*["A: " + "a" * 9000] * 4), 431),
    "101 headers": (get(*["A: b"] * 101), 431),
    "a large body on GET": (get("Content-Length: 70000", body="a" * 70000),
                            413),
    "a byte too much on GET": (get("Content-Length: 65537"), 413),
    "a large body on HEAD": (request("Content-Length: 70000",
                                     line="HEAD /v2/ HTTP/1.1"), 413),
    "a large body on OPTIONS": (request("Content-Length: 70000",
                                        line="OPTIONS /v2/ HTTP/1.1"), 413),
    "a large body on DELETE": (request(
        "Content-Length: 70000", line="DELETE /v2/a/manifests/x HTTP/1.1",
        body="a" * 70000), 413),
    **{f"length {v!r}": (request(f"Content-Length: {v}", body=SMUGGLED), 400)
       for v in LENGTHS},
    **{f"coding {v!r}": (request(f"Transfer-Encoding: {v}",
                                 body="0\r\n\r\n" + SMUGGLED), s)
       for v, s in CODINGS.items()},
    **{f"chunk {v[:20]!r} of {len(v)}": (chunked(v + SMUGGLED), 400)
       for v in CHUNKS},
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
    "HTTP/1.2": ("GET /v2/ HTTP/1.2\r\nHost: x\r\n\r\n", 200),
    "HTTP/1.0 that asks to stay": (
        "GET /v2/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
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
    "a length with zeros": (request(f"Content-Length: 00{LENGTH}",
                                    body=SMUGGLED), 202),
    "a coding in other letters": (request(
        "transfer-encoding:CHUNKED", line="PUT /v2/a/manifests/x HTTP/1.1",
        body=f"{LENGTH:X}\r\n{SMUGGLED}\r\n0\r\n\r\n"), 400),
    "an expectation in other letters": (request(
        "expect:100-Continue", "Content-Length: 0"), 202),
    "64 KiB on GET": (get("Content-Length: 65536", body="a" * 65536), 200),
    "a body on HEAD": (request(f"Content-Length: {LENGTH}",
                               line="HEAD /v2/ HTTP/1.1", body=SMUGGLED), 200),
    "a body on OPTIONS": (request(
        f"Content-Length: {LENGTH}", line="OPTIONS /v2/ HTTP/1.1",
        body=SMUGGLED), 204),
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
    "a chunk line of 256 bytes": (chunked(
        f"3;a={'b' * 252}\r\nabc\r\n0\r\n\r\n"), 400),
    "trailers of 8 KiB": (chunked(
        f"0\r\nT: {'x' * 8186}\r\n\r\n"), 400),
    "trailers that frame": (chunked(
        "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\nConnection: close"
        "\r\nExpect: 100-continue\r\n\r\n"), 400),
    "a chunk size in 16 digits": (chunked(
        "0000000000000003\r\nabc\r\n0\r\n\r\n"), 400),
    **{f"path {p!r}": (get(target=f"/v2/{p}/tags/list"), 400) for p in PATHS},
}

LAST = {
    "HTTP/1.0": ("GET /v2/ HTTP/1.0\r\n\r\n", 200),
    "HTTP/1.0 with Host": ("GET /v2/ HTTP/1.0\r\nHost: x\r\n\r\n", 200),
    "HTTP/1.0 with close": (
        "GET /v2/ HTTP/1.0\r\nConnection: close\r\n\r\n", 200),
    "HTTP/1.0 with both": (
        "GET /v2/ HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", 200),
    "HTTP/1.0 with a body": (request(
        f"Content-Length: {LENGTH}", line="POST /v2/a/blobs/uploads/ HTTP/1.0",
        body=SMUGGLED), 202),
    "HTTP/1.0 that expects": (request(  # which only HTTP/1.1 can
        "Expect: 100-continue", f"Content-Length: {LENGTH}",
        line="POST /v2/a/blobs/uploads/ HTTP/1.0", body=SMUGGLED), 202),
    "close": (get("Connection: close"), 200),
    "close in other letters": (get("CONNECTION:CLOSE"), 200),
    "close in a list": (get("Connection: a ,\tclose ,b"), 200),
    "close in the second line": (get("Connection: keep-alive",
                                     "Connection: close"), 200),
    "the longest body": (request("Content-Length: 9223372036854775807"), 202),
    "a body that nobody will read": (request(
        "Content-Length: 70000", body="a" * 70000), 202),
    "chunks that nobody will read": (request(
        "Transfer-Encoding: chunked",
        body=f"{LENGTH:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"), 202),
    "a body that is not asked for": (request(
        "Expect: 100-continue", f"Content-Length: {LENGTH}",
        line="PUT /v2/ HTTP/1.1", body=SMUGGLED), 405),
}
