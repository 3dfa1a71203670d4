"""Bad and odd inputs, each with status, code and the state afterwards.

A row keeps its number.  Rows that need a server of their own, or more than
requests one after the other, are functions in test_odd_inputs.py; OPEN names those
whose feature is not there yet.
"""

import json

from odd_steps import *

R = "/v2/{repo}"
LONG = "x" * 129


def each(make, *values):
    return [make(value) for value in values]


def bad_name(name):
    return get(f"/v2/{name}/tags/list", 400, "NAME_INVALID")


def unknown_name(name):
    return get(f"/v2/{name}/tags/list", 404, "NAME_UNKNOWN")


def no_range(value, size=len(DATA), blob="{blob}"):
    return get(f"{R}/blobs/{blob}", 416, headers={"Range": value},
               has={"content-range": f"bytes */{size}",
                    "docker-content-digest": None})


def new_session(query):
    """202 with a session that works."""
    def check(answer, names):
        assert answer["docker-upload-uuid"] in answer["location"]
        names["fresh"] = answer["location"]
    return [post(f"{R}/blobs/uploads/{query}", 202, check=check),
            put("{fresh}?digest=" + sha256(b"z"), 201, body=b"z")]


def refused_manifest(body):
    return put_manifest("bad", 400, "MANIFEST_INVALID", body=body)


def refused_change(**change):
    return put_manifest("bad", 400, "MANIFEST_INVALID", change=change)


def bad_layer(**change):
    return put_manifest("bad", 400, "MANIFEST_INVALID", change=lambda names: {
        "layers": [names.layer(**change)]})


def bad_subject(**change):
    subject = {"mediaType": OCI_MANIFEST, "digest": ABSENT, "size": 1,
               **change}
    return refused_change(subject={k: v for k, v in subject.items()
                                   if v is not None})


def closed(text, status, **more):
    """Bytes that are answered once, and end the connection."""
    return Step("GET", "/", status, raw=raw(text), closes=True, **more)


def tags_are(*tags, query=""):
    def check(answer, names):
        assert answer.json() == {"name": names["repo"], "tags": list(tags)}
    return get(f"{R}/tags/list{query}", check=check)


def no_entries(answer, _names=None):
    assert answer["content-type"] == OCI_INDEX
    assert answer.json()["manifests"] == []


def one_entry(answer, _names):
    assert len(answer.json()["manifests"]) == 1


def missing_detail(answer, _names):
    assert answer.json()["errors"][0]["detail"] == [
        {"digest": ABSENT}, {"digest": "sha256:" + "1" * 64}]


HUGE = b" " * ((4 << 20) + 1)
ROWS = {
    1: ("the version check without its slash",
        [get("/v2", content=b"{}"), get("/v2/", content=b"{}")]),
    2: ("other methods on the version check",
        [Step(m, "/v2/", 405, "UNSUPPORTED", has={"allow": "GET, HEAD"})
         for m in ("PUT", "DELETE", "POST", "PATCH")]),
    3: ("upper case in a name",
        each(bad_name, "Foo", "a/B", "{repo}/Foo")),
    4: ("dots and empty components in a name",
        each(bad_name, "..", ".", "a//b", "a/../b", "a/./b", "a/", "/a")),
    5: ("separators in a name",
        each(unknown_name, "a--b", "a__b", "a.b", "a---b") +
        each(bad_name, "a___b", "-a", "a_", "a._b", "a-", ".a", "a..b")),
    6: ("a name of more than 255 bytes",
        [bad_name("x" * 256), bad_name("a/" * 127 + "ab"),
         unknown_name("x" * 255)]),
    7: ("escapes and bytes that no name has",
        each(bad_name, "a%00b", "a%0ab", "a%80b", "a%c0%afb", "%2e%2e%2fb",
             "a%2fb", "a%5cb", "a%252fb", "a%zzb", "a%2")),
    8: ("a route that is none",
        [get(f"{R}/nothing/here", 404, "NAME_UNKNOWN"),
         get(f"{R}/blobs", 404, "NAME_UNKNOWN"),
         get("/v3/", 404, "NAME_UNKNOWN")]),
    9: ("reading a tag that can be none",
        [get(f"{R}/manifests/{tag}", 404, "MANIFEST_UNKNOWN")
         for tag in ("a%20b", "-a", ".a", LONG)]),
    10: ("writing such a tag",
         [put_manifest(tag, 400, "MANIFEST_INVALID")
          for tag in ("a%20b", "-a", ".a", LONG)] + [tags_are()]),
    11: ("an unknown tag; an unknown repository",
         [head(f"{R}/blobs/{{blob}}"),
          get(f"{R}/manifests/none", 404, "MANIFEST_UNKNOWN"),
          get(f"{R}/manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
          get(f"{R}-x/manifests/none", 404, "NAME_UNKNOWN"),
          get(f"{R}-x/tags/list", 404, "NAME_UNKNOWN")]),
    12: ("reading a manifest by a malformed digest",
         [get(f"{R}/manifests/{d}", 400, "DIGEST_INVALID")
          for d in ("sha256:abc", "sha256:" + "A" * 64, "md5:", ":x",
                    "sha256:" + "a" * 65, "SHA256:" + "a" * 64)]),
    13: ("writing a manifest by a malformed digest",
         [put_manifest(d, 400, "DIGEST_INVALID")
          for d in ("sha256:baddigeststring", "sha256:" + "A" * 64)]),
    14: ("a blob by a tag or a malformed digest",
         [get(f"{R}/blobs/{d}", 400, "DIGEST_INVALID")
          for d in ("latest", "sha256:abc", "sha256:" + "G" * 64)]),
    15: ("a well-formed digest of another algorithm",
         [get(f"{R}/blobs/md5:{'a' * 32}", 404, "BLOB_UNKNOWN"),
          get(f"{R}/manifests/md5:{'a' * 32}", 404, "MANIFEST_UNKNOWN"),
          post(f"{R}/blobs/uploads/?digest=blake3:{'a' * 64}", 400,
               "DIGEST_INVALID", body=b"x"),
          put("{session}?digest=blake3:" + "a" * 64, 400, "DIGEST_INVALID",
              body=b"x"), empty_session(), usable_session()]),
    16: ("a range beyond the end",
         each(no_range, "bytes=2048-", "bytes=5000-10000")),
    17: ("a range that is none",
         each(no_range, "bytes=500-0", "bytes=abc", "bytes=", "bytes=1-2-3")),
    18: ("a range in another unit",
         [get(f"{R}/blobs/{{blob}}", 200, headers={"Range": "lines=1-2"},
              content=DATA)]),
    19: ("thousands of ranges, and ranges that overlap",
         [get(f"{R}/blobs/{{blob}}", 200, content=DATA,
              headers={"Range": "bytes=" + "1-," * 5000}),
          get(f"{R}/blobs/{{blob}}", 206, content=DATA[:20],
              headers={"Range": "bytes=0-9,5-19,3-4"},
              has={"content-range": "bytes 0-19/2048"})]),
    20: ("a range of the empty blob; the last zero bytes",
         [put("{session}?digest=" + EMPTY, 201),
          no_range("bytes=0-0", 0, EMPTY), no_range("bytes=-1", 0, EMPTY),
          no_range("bytes=-0")]),
    21: ("a range of another version",
         [get(f"{R}/blobs/{{blob}}", 200, content=DATA,
              headers={"Range": "bytes=0-9", "If-Range": '"other"'}),
          get(f"{R}/blobs/{{blob}}", 206, content=DATA[:10],
              headers={"Range": "bytes=0-9", "If-Range": '"{blob}"'})]),
    22: ("a range on HEAD",
         [head(f"{R}/blobs/{{blob}}", 200, headers={"Range": "bytes=0-9"},
               has={"content-length": "2048", "content-range": None})]),
    23: ("a version that the client has",
         [get(f"{R}/{what}", 304, headers={"If-None-Match": f'"{digest}"'},
              has={"docker-content-digest": digest, "etag": f'"{digest}"'})
          for what, digest in (("blobs/{blob}", "{blob}"),
                               ("manifests/{image}", "{image}"),
                               ("manifests/v1", "{image}"))]),
    24: ("Accept without the stored type, and none",
         [get(f"{R}/manifests/{{image}}", 200, headers=accept,
              has={"content-type": OCI_MANIFEST})
          for accept in ({}, {"Accept": "text/plain"}, {"Accept": OCI_INDEX},
                         {"Accept": "*/*;q=0"})]),
    25: ("mounts that cannot be",
         [step for query in (
             "?mount=junk&from={repo}", f"?mount={ABSENT}&from=Bad/Name",
             f"?mount={ABSENT}&from=un/known", f"?mount={ABSENT}&from={{repo}}",
             f"?mount={ABSENT}", f"?mount=md5:{'a' * 32}&from={{repo}}")
          for step in new_session(query)]),
    26: ("a mount of what is there already",
         [post(f"{R}/blobs/uploads/?mount={{blob}}&from={{repo}}", 201,
               has={"location": f"{R}/blobs/{{blob}}",
                    "docker-content-digest": "{blob}"}),
          get(f"{R}/blobs/{{blob}}", content=DATA)]),
    27: ("a source without a mount", new_session("?from={repo}")),
    28: ("mount and digest and a body",
         [post(f"{R}/blobs/uploads/?mount={{blob}}&from={{repo}}&digest="
               + sha256(b"body"), 201, body=b"body",
               has={"location": f"{R}/blobs/{{blob}}"}),
          post(f"{R}/blobs/uploads/?mount={ABSENT}&digest="
               + sha256(b"body"), 202, body=b"body"),
          head(f"{R}/blobs/{sha256(b'body')}", 404)]),
    29: ("a whole blob in one POST",
         [post(f"{R}/blobs/uploads/?digest={sha256(b'one')}", 201,
               body=b"one", has={"location": f"{R}/blobs/{sha256(b'one')}"}),
          get(f"{R}/blobs/{sha256(b'one')}", content=b"one"),
          post(f"{R}/blobs/uploads/?digest={ABSENT}", 400, "DIGEST_INVALID",
               body=b"two"),
          head(f"{R}/blobs/{ABSENT}", 404),
          head(f"{R}/blobs/{sha256(b'two')}", 404)]),
    30: ("the uploads without their slash",
         [post(f"{R}/blobs/uploads", 202)]),
    31: ("an upload for another algorithm",
         [post(f"{R}/blobs/uploads/?digest-algorithm=md5", 400,
               "DIGEST_INVALID")]),
    32: ("a session that is unknown, foreign or finished",
         [Step(m, f"{R}/blobs/uploads/{UUID}?digest={EMPTY}", 404,
               "BLOB_UPLOAD_UNKNOWN")
          for m in ("GET", "PATCH", "PUT", "DELETE")] +
         [empty_session(),
          patch("{session}x", 404, "BLOB_UPLOAD_UNKNOWN", body=b"x"),
          empty_session(), usable_session(),
          get("{session}", 404, "BLOB_UPLOAD_UNKNOWN"),
          patch("{session}", 404, "BLOB_UPLOAD_UNKNOWN", body=b"x")]),
    33: ("a session that is no identifier",
         [Step(m, f"{R}/blobs/uploads/{s}?digest={EMPTY}", 404,
               "BLOB_UPLOAD_UNKNOWN")
          for m in ("GET", "PATCH", "PUT", "DELETE")
          for s in ("x", "a" * 300, "index.db")] +
         [get(f"{R}/blobs/uploads/%2e%2e", 400, "NAME_INVALID"),
          get(f"{R}/blobs/uploads/..%2fx", 400, "NAME_INVALID")]),
    34: ("a chunk that starts elsewhere",
         [patch("{session}", 202, body=DATA[:300],
                headers={"Content-Range": "0-299"})] +
         [patch("{session}", 416, "BLOB_UPLOAD_INVALID", body=DATA[a:b + 1],
                headers={"Content-Range": f"{a}-{b}"},
                has={"range": "0-299", "location": "{session}"})
          for a, b in ((0, 299), (299, 400), (301, 400), (1000, 1099))] +
         [get("{session}", 204, has={"range": "0-299"}),
          put("{session}?digest={blob}", 201, body=DATA[300:],
              headers={"Content-Range": "300-2047"})]),
    35: ("a chunk of another length than its range",
         [patch("{session}", 400, "SIZE_INVALID", body=b"12345",
                headers={"Content-Range": value})
          for value in ("0-3", "0-5", "0-9")] +
         [empty_session(), usable_session()]),
    36: ("a Content-Range of another form",
         [patch("{session}", 400, "BLOB_UPLOAD_INVALID", body=b"12345",
                headers={"Content-Range": value})
          for value in ("bytes 0-4/5", "5-", "-5", "9-3", "0-4/5",
                        "0-9223372036854775808")] +
         [empty_session(), usable_session()]),
    37: ("chunks of one byte",
         [patch("{session}", 202, body=b"o", headers={"Content-Range": "0-0"},
                has={"oci-chunk-min-length": None}),
          patch("{session}", 202, body=b"k", headers={"Content-Range": "1-1"}),
          put("{session}?digest=" + sha256(b"ok"), 201)]),
    40: ("a chunk with an odd type, or none",
         [patch("{session}", 202, body=b"o"),
          patch("{session}", 202, body=b"k", headers={
              "Content-Type": "application/x-www-form-urlencoded"}),
          put("{session}?digest=" + sha256(b"ok"), 201)]),
    41: ("an end without a digest",
         [put("{session}", 400, "DIGEST_INVALID", body=b"x"),
          put("{session}?digest=", 400, "DIGEST_INVALID", body=b"x"),
          empty_session(), usable_session()]),
    42: ("an end with two digests",
         [put(f"{{session}}?digest={EMPTY}&digest={EMPTY}", 400,
              "DIGEST_INVALID"), empty_session(), usable_session()]),
    43: ("an end with another digest",
         [patch("{session}", 202, body=b"bytes"),
          put("{session}?digest=" + ABSENT, 400, "DIGEST_INVALID"),
          get("{session}", 404, "BLOB_UPLOAD_UNKNOWN"),
          head(f"{R}/blobs/{ABSENT}", 404),
          head(f"{R}/blobs/{sha256(b'bytes')}", 404)]),
    44: ("a last chunk that starts elsewhere",
         [patch("{session}", 202, body=DATA[:300]),
          put("{session}?digest={blob}", 416, "BLOB_UPLOAD_INVALID",
              body=DATA[400:], headers={"Content-Range": "400-2047"},
              has={"range": "0-299"}),
          get("{session}?digest={blob}", 204, has={"range": "0-299"}),
          put("{session}?digest={blob}", 201, body=DATA[300:],
              headers={"Content-Range": "300-2047"})]),
    46: ("the empty blob",
         [put("{session}?digest=" + EMPTY, 201),
          get(f"{R}/blobs/{EMPTY}", 200, content=b"",
              has={"content-length": "0"})]),
    47: ("a session that is cancelled twice",
         [patch("{session}", 202, body=b"bytes"),
          delete("{session}", 204),
          delete("{session}", 404, "BLOB_UPLOAD_UNKNOWN"),
          get("{session}", 404, "BLOB_UPLOAD_UNKNOWN")]),
    50: ("what is no JSON object",
         [refused_manifest(body) for body in (
             b"", b"no", b"[]", b'"x"', b"{}", b"\xef\xbb\xbf{}",
             b'{"schemaVersion":2,"schemaVersion":2}', b'{"a":"\xff"}',
             b'{"a":' * 100 + b"1" + b"}" * 100, b"[" * 100000)] +
         [refused_manifest(lambda names: names.manifest() + b"x"),
          absent("bad")]),
    51: ("another schema version",
         [refused_change(schemaVersion=v) for v in (1, None, "2", 2.0, 3)] +
         [absent("bad")]),
    52: ("a type that is not the body's",
         [put_manifest("bad", 400, "MANIFEST_INVALID", kind=OCI_INDEX),
          refused_change(mediaType=OCI_INDEX), absent("bad")]),
    53: ("no type",
         [put_manifest("a", 201, kind=None),
          put_manifest("b", 201, kind=None, change={"mediaType": None}),
          get(f"{R}/manifests/b", has={"content-type": OCI_MANIFEST}),
          put_manifest("bad", 400, "MANIFEST_INVALID", kind=None,
                       change={"mediaType": None, "config": None,
                               "layers": None}), absent("bad")]),
    54: ("a type with parameters",
         [put_manifest("a", 201, kind=OCI_MANIFEST + "; charset=utf-8"),
          get(f"{R}/manifests/a", has={"content-type": OCI_MANIFEST})]),
    55: ("a type that is unknown",
         [put_manifest("bad", 400, "MANIFEST_INVALID", kind="text/plain",
                       change={"mediaType": None}),
          put_manifest("bad", 400, "MANIFEST_INVALID", kind="text/plain",
                       change={"mediaType": "text/plain"}), absent("bad")]),
    56: ("an image and an index in one",
         [refused_change(manifests=[]), absent("bad")]),
    57: ("a digest that is not the body's",
         [put(f"{R}/manifests/{ABSENT}", 400, "DIGEST_INVALID",
              body=lambda n: n.manifest(),
              headers={"Content-Type": OCI_MANIFEST}),
          put_manifest("{image}", 400, "DIGEST_INVALID",
                       body=lambda n: n.http(
                           "GET", f"/v2/{n['repo']}/manifests/{n['image']}"
                       ).body + b"  "), absent(ABSENT)]),
    58: ("references that are missing",
         [put_manifest("bad", 400, "MANIFEST_BLOB_UNKNOWN",
                       change=lambda n: {"layers": [
                           n.layer(), n.layer(digest=ABSENT),
                           n.layer(digest="sha256:" + "1" * 64),
                           n.layer(digest=ABSENT)]}, check=missing_detail),
          put_manifest("bad", 400, "MANIFEST_BLOB_UNKNOWN", kind=OCI_INDEX,
                       body=lambda n: n.index(n.child(ABSENT, 1))),
          absent("bad")]),
    59: ("sizes that are wrong",
         [bad_layer(size=s) for s in (2047, -1, 1e30, 2048.0, "2048", None)] +
         [absent("bad")]),
    60: ("a subject that is not there",
         [put_manifest("a", 201, change={"subject": {
             "mediaType": OCI_MANIFEST, "digest": ABSENT, "size": 1}},
             has={"oci-subject": ABSENT}),
          get(f"{R}/referrers/{ABSENT}", check=one_entry)]),
    61: ("a subject that is malformed",
         [bad_subject(digest="sha256:abc"), bad_subject(mediaType=None),
          bad_subject(size=-1), refused_change(subject="x"), absent("bad")]),
    62: ("a manifest of more than 4 MiB",
         [put_manifest("bad", 413, "SIZE_INVALID", body=HUGE),
          put(f"{R}/manifests/bad", 413, "SIZE_INVALID",
              chunked=lambda n: [HUGE[:1 << 20]] * 5), absent("bad")]),
    63: ("fifty tags; a bad one among them; tags on a PUT by tag",
         [put_manifest("{image}?" + "&".join(f"tag=t{i}" for i in range(50)),
                       414, body=lambda n: image_bytes(n)),
          put_manifest("{image}?tag=good&tag=-bad", 400, "MANIFEST_INVALID",
                       body=lambda n: image_bytes(n)),
          absent("good"), absent("t0"),
          put_manifest("three?tag=four", 201, has={"oci-tag": None}),
          absent("four")]),
    64: ("a tag twice",
         [put_manifest("{image}?tag=one&tag=two&tag=one", 201,
                       body=lambda n: image_bytes(n),
                       has={"oci-tag": "one, two"}),
          tags_are("one", "two", "v1")]),
    66: ("deletes of what is unknown",
         [head(f"{R}/blobs/{{blob}}"),
          delete(f"{R}/manifests/none", 404, "MANIFEST_UNKNOWN"),
          delete(f"{R}/manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
          delete(f"{R}/blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
          delete(f"{R}-x/blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
          get(f"{R}/blobs/{{blob}}", content=DATA)]),
    67: ("deletes of what is in use",
         [put_manifest("a", 201),
          delete(f"{R}/blobs/{{blob}}", 405, "UNSUPPORTED",
                 has={"allow": "GET, HEAD"},
                 check=lambda a, n: names_digest(a)),
          put_manifest("all", 201, kind=OCI_INDEX, body=lambda n: n.index(
              n.child(n["image"], len(image_bytes(n))))),
          delete(f"{R}/manifests/{{image}}", 405, "UNSUPPORTED",
                 has={"allow": "GET, HEAD, PUT"},
                 check=lambda a, n: names_digest(a)),
          get(f"{R}/blobs/{{blob}}", content=DATA),
          get(f"{R}/manifests/{{image}}")]),
    69: ("how many tags",
         [put_manifest("a", 201), put_manifest("b", 201),
          tags_are(query="?n=0"),
          get(f"{R}/tags/list?n=0", has={"link": None})] +
         [get(f"{R}/tags/list?n={n}", 400, "UNSUPPORTED")
          for n in ("-1", "abc", "1.5", "")] +
         [get(f"{R}/tags/list?n=1", has={
             "link": f'<{R}/tags/list?n=1&last=a>; rel="next"'}),
          tags_are("a", "b", query="?n=1000000000000")]),
    70: ("tags after what is no tag",
         [put_manifest("a", 201), put_manifest("b", 201),
          tags_are("a", "b", query="?last="),
          tags_are("b", query="?last=a!"), tags_are(query="?last=zz"),
          tags_are("a", "b", query="?last=../x")]),
    71: ("tags of a repository without any",
         [put_manifest("a", 201), delete(f"{R}/manifests/a", 202),
          tags_are(), get(f"{R}-x/tags/list", 404, "NAME_UNKNOWN")]),
    72: ("referrers of what is unknown",
         [get(f"/v2/un/known/referrers/{ABSENT}", check=no_entries),
          get(f"{R}/referrers/{ABSENT}", check=no_entries),
          get(f"{R}/referrers/sha256:abc", 400, "DIGEST_INVALID"),
          get(f"{R}/referrers/latest", 400, "DIGEST_INVALID")]),
    73: ("no artifact type, and two",
         [get(f"{R}/referrers/{ABSENT}?artifactType=",
              has={"oci-filters-applied": None})] +
         [put_manifest(f"r{i}", 201, change={
             "artifactType": f"a/{i}", "subject": {
                 "mediaType": OCI_MANIFEST, "digest": ABSENT, "size": 1}})
          for i in range(3)] +
         [get(f"{R}/referrers/{ABSENT}?artifactType=a/0&artifactType=a/2",
              has={"oci-filters-applied": "artifactType"},
              check=lambda a, n: types_are(a, "a/0", "a/2"))]),
    81: ("framing that two programs could read differently",
         [closed("POST /v2/{repo}/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n"
                 + text, 400)
          for text in (
              "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0",
              "Content-Length: 0\r\nContent-Length: 1\r\n\r\nx",
              "X: a\r\n b\r\n\r\n", "X: a\n\r\n")] +
         [closed("PATCH {session} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                 "chunked\r\n\r\n0x3\r\nabc", 400), empty_session()]),
    82: ("what is not HTTP/1",
         [closed("GET /v2/ HTTP/1.1\r\n\r\n", 400),
          closed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
          closed("GET /v2/\r\n", 400),
          closed("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400,
                 is_text=True, has={
                     "content-type": "text/plain; charset=utf-8"}),
          closed("GET /v2/ HTTP/2.0\r\nHost: x\r\n\r\n", 505),
          closed("GET /v2/ HTTP/3.1\r\nHost: x\r\n\r\n", 505)]),
    83: ("heads that are too large",
         [closed("GET /v2/ HTTP/1.1\r\nHost: x\r\n"
                 + f"A: {'a' * 9000}\r\n" * 4, 431),
          closed(f"GET /v2/ HTTP/1.1\r\nHost: x\r\nA: {'a' * 16400}\r\n",
                 431),
          closed("GET /v2/ HTTP/1.1\r\nHost: x\r\n" + "A: b\r\n" * 101, 431),
          closed(f"GET /{'a' * 8200} HTTP/1.1\r\nHost: x\r\n\r\n", 414)]),
    84: ("methods",
         [closed(f"{m} /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 405,
                 code="UNSUPPORTED") for m in ("TRACE", "CONNECT")] +
         [post(f"{R}/blobs/{ABSENT}", 405, "UNSUPPORTED",
               has={"allow": "GET, HEAD, DELETE"}),
          patch(f"{R}/manifests/v1", 405, "UNSUPPORTED",
                has={"allow": "GET, HEAD, PUT, DELETE"}),
          closed("BREW /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 501),
          closed("get /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 501),
          Step("OPTIONS", f"{R}/tags/list", 204, has={"allow": "GET, HEAD"}),
          Step("OPTIONS", "*", 204)]),
    85: ("expectations",
         [closed("PUT {session} HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n"
                 "Content-Length: 5\r\n\r\n", 417),
          closed(f"PUT {R}/blobs/uploads/{UUID} HTTP/1.1\r\nHost: x\r\n"
                 "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", 404),
          closed(f"PUT {R}/manifests/a HTTP/1.1\r\nHost: x\r\n"
                 "Expect: 100-continue\r\nContent-Length: 5000000\r\n\r\n",
                 413), absent("a")]),
    88: ("bodies with a coding",
         [patch("{session}", 415, "UNSUPPORTED", body=b"x",
                headers={"Content-Encoding": "gzip"},
                has={"accept-encoding": "identity"}), empty_session(),
          post(f"{R}/blobs/uploads/?digest={sha256(b'x')}", 415,
               "UNSUPPORTED", body=b"x",
               headers={"Content-Encoding": "gzip"}),
          head(f"{R}/blobs/{sha256(b'x')}", 404),
          put("{session}?digest=" + sha256(b"x"), 415, "UNSUPPORTED",
              body=b"x", headers={"Content-Encoding": "zstd"}),
          empty_session(), usable_session(),
          put_manifest("bad", 415, "UNSUPPORTED",
                       headers={"Content-Encoding": "gzip"}), absent("bad")]),
}

# Rows that wait for users, tokens, quotas or immutable tags.
OPEN = {
    48: "a blob over its quota",
    65: "an immutable tag that is overwritten",
    75: "no credentials, or wrong ones",
    76: "the empty user",
    77: "a token that is not valid",
    78: "a token without the right",
    79: "odd scopes",
    80: "odd grants",
}


def image_bytes(names):
    return names.http("GET", f"/v2/{names['repo']}/manifests/{names['image']}"
                      ).body


def names_digest(answer):
    assert "sha256:" in answer.json()["errors"][0]["message"]


def types_are(answer, *types):
    assert [m["artifactType"] for m in json.loads(answer.body)["manifests"]] \
        == list(types)
