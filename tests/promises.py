"""What every answer of berthd keeps, whatever was asked.

rawhttp.Client looks at each answer that carries berthd's own header, so all
tests that speak raw HTTP are tests of these promises too.  Numbers are
sections of RFC 9110, names those of the distribution specification.
"""

import json
import re

# "Error Codes": a client error's JSON has one of these.
CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID",
    "UNAUTHORIZED", "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS"}
# Of server errors the specification says nothing; ours.
SERVER_CODES = CODES | {"UNAVAILABLE", "UNKNOWN"}
WARNING = re.compile(r'299 - "([^"\\]|\\.)*"')  # "Warnings": no date behind
WARNING_BYTES = 4096
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def check(answer):
    if answer["docker-distribution-api-version"] is None:
        return
    names = [name for name, _ in answer.pairs]
    for name in set(names) - {"warning", "oci-tag", "www-authenticate"}:
        assert names.count(name) == 1, (name, answer)
    assert answer["date"], answer  # 6.6.1
    check_body(answer)
    check_headers(answer)
    if answer.status >= 400 and answer.body:
        check_error(answer)


def check_body(answer):
    if answer.status in (204, 304):  # 8.6, 15.4.5
        assert answer["content-length"] is None, answer
    else:
        assert (answer["content-length"] or "").isdigit(), answer
    assert answer["content-encoding"] is None, answer


def check_headers(answer):
    warnings = [v for name, v in answer.pairs if name == "warning"]
    assert all(WARNING.fullmatch(v) for v in warnings), answer
    assert sum(map(len, warnings)) <= WARNING_BYTES, answer
    if answer.status == 405:  # 15.5.6
        allowed = answer["allow"].split(", ") if answer["allow"] else []
        assert answer["allow"] is not None and METHODS.issuperset(allowed), \
            answer
    if answer.status in (429, 503):  # "Error Codes"
        assert (answer["retry-after"] or "").isdigit(), answer
    if answer.status == 401:  # 11.6.1
        assert answer["www-authenticate"], answer
    if answer.status == 415:  # 15.5.16: it was the coding
        assert answer["accept-encoding"], answer
    for name in ("location", "link"):  # true behind any proxy
        value = answer[name]
        assert value is None or value.lstrip("<").startswith("/v2/"), answer


def check_error(answer):
    if answer["content-type"] != "application/json":
        assert (answer["content-type"] or "").startswith("text/plain"), answer
        return
    body = json.loads(answer.body)
    assert set(body) == {"errors"} and body["errors"], answer
    codes = CODES if answer.status < 500 else SERVER_CODES
    for error in body["errors"]:
        assert {"code"} <= set(error) <= {"code", "message", "detail"}, answer
        assert error["code"] in codes, answer
        assert isinstance(error.get("message", ""), str), answer
