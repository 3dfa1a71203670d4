"""Who asks: passwords, tokens, helpers; berth login."""

import base64
import json
import os
import signal
import subprocess

import pytest

from fakeregistry import FakeRegistry, Tokens, basic
from remotes import (  # noqa: F401
    berth, home, image, on_a_terminal, pull_fails, reg, write_auth)

pytestmark = pytest.mark.usefixtures("fresh_store")


# ---- who asks ----------------------------------------------------------------
def test_basic(reg, image, home):
    reg.guard = basic("u", "p")
    name = f"{reg.host}/t:1"
    text = pull_fails(name)
    assert f"wants a user and a password: berth login {reg.host}" in text
    write_auth(home, reg.host, password="wrong")
    assert "refuses the user u: wrong password?" in pull_fails(name)
    write_auth(home, reg.host)
    berth("pull", name)
    for request in reg.requests("GET", "/(manifests|blobs)/")[-4:]:
        assert request.headers["Authorization"] == reg.guard.header


@pytest.mark.parametrize("place", ["given", "podman", "docker", "home"])
def test_where_passwords_are_found(reg, image, home, monkeypatch, place):
    reg.guard = basic("u", "p")
    files = {"given": "auth.json", "podman": "run/containers/auth.json",
             "docker": "docker/config.json", "home": "home/.docker/config.json"}
    if place == "given":
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / files[place]))
    if place == "home":
        monkeypatch.delenv("DOCKER_CONFIG")
    write_auth(home, reg.host, name=files[place])
    berth("pull", f"{reg.host}/t:1")


def test_a_readable_password_file_is_told(reg, image, home):
    reg.guard = basic("u", "p")
    write_auth(home, reg.host)
    (home / "docker/config.json").chmod(0o644)
    done = berth("pull", f"{reg.host}/t:1")
    assert "warning: others can read" in done.stderr


def test_a_damaged_password_file(reg, image, home):
    (home / "docker/config.json").write_text("{")
    assert "docker/config.json" in pull_fails(f"{reg.host}/t:1")
    (home / "docker/config.json").unlink()
    os.mkfifo(home / "docker/config.json")
    assert "no regular file" in pull_fails(f"{reg.host}/t:1")


def helper(home, monkeypatch, script):
    path = home / "bin" / "docker-credential-test"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")


def test_a_credential_helper(reg, image, home, monkeypatch):
    reg.guard = basic("u", "p;$(false)`false`")
    helper(home, monkeypatch, f'read s; test "$s" = {reg.host} || exit 1\n'
           'echo \'{"Username":"u","Secret":"p;$(false)`false`"}\'\n')
    (home / "docker/config.json").write_text(
        json.dumps({"credHelpers": {reg.host: "test"}}))
    berth("pull", f"{reg.host}/t:1")
    (home / "docker/config.json").write_text(
        json.dumps({"credHelpers": {reg.host: "../bin/test"}}))
    assert "bad name of a credential helper" in pull_fails(f"{reg.host}/t:1")


def test_anonymous_tokens(reg, image):
    tokens = Tokens(reg)
    berth("pull", f"{reg.host}/t:1")
    first = reg.requests("GET", "^/token")[0]
    assert "Authorization" not in first.headers
    assert "service=fake%20service" in first.path
    assert "scope=repository%3At%3Apull" in first.path
    assert tokens.count == 1


def test_tokens_for_a_user(reg, image, home):
    Tokens(reg, user="u:p")
    assert "access denied without a user: try berth login" in \
        pull_fails(f"{reg.host}/t:1")
    write_auth(home, reg.host, password="wrong")
    text = pull_fails(f"{reg.host}/t:1")
    assert "refuses the user u: wrong password?" in text
    assert "incorrect username or password" in text
    write_auth(home, reg.host)
    berth("pull", f"{reg.host}/t:1")
    assert "account=u" in reg.requests("GET", "^/token")[-1].path


def test_tokens_that_end_are_renewed(reg, image):
    tokens = Tokens(reg, uses=2)
    berth("pull", f"{reg.host}/t:1")
    assert tokens.count >= 2


def test_an_identity_token(reg, image, home):
    Tokens(reg, user="refresh-me")
    path = home / "docker/config.json"
    path.write_text(json.dumps({"auths": {reg.host: {
        "auth": base64.b64encode(b"u:").decode(),
        "identitytoken": "refresh-me"}}}))
    path.chmod(0o600)
    berth("pull", f"{reg.host}/t:1")
    form = reg.requests("POST", "^/token")[0]
    assert b"grant_type=refresh_token" in form.body
    assert "Authorization" not in form.headers


def test_an_identity_token_that_is_refused(reg, image, home):
    Tokens(reg, user="refresh-me")
    write_auth(home, reg.host, identitytoken="stale")
    assert "refuses the kept token" in pull_fails(f"{reg.host}/t:1")


def test_bearer_among_others(reg, image):
    tokens = Tokens(reg)
    tokens.challenge = lambda scope: [
        'Negotiate, Basic realm="b, Bearer realm=x"',
        f'bearer  realm="{tokens.realm}" , service=s']
    berth("pull", f"{reg.host}/t:1")
    assert tokens.count == 1


@pytest.mark.parametrize("challenge, words", [
    ("Negotiate", "neither Basic nor Bearer"),
    ('Bearer realm="open', "neither Basic nor Bearer"),
    ('Bearer realm="http://u:p@127.0.0.1/t"', "bad address"),
    ('Bearer realm="file:///etc/passwd"', "bad address"),
    ('Bearer realm="http://169.254.169.254/latest"', "internal address"),
    ('Bearer realm="http://[fe80::1]/"', "internal address"),
    ("Bearer realm=\"" + "x" * 5000 + "\"", "challenges are too long"),
])
def test_bad_challenges(reg, image, challenge, words):
    Tokens(reg, challenge=lambda scope: challenge)
    assert words in pull_fails(f"{reg.host}/t:1")


@pytest.mark.parametrize("body, words", [
    (b"{}", "gave no token"), (b"[]", "no object"), (b"", "JSON"),
    (b'{"token":"a b"}', "gave no token"),
    (b'{"token":"a\\r\\nX: y"}', "gave no token"),
    (b'{"token":"' + b"x" * 20_000 + b'"}', "gave no token"),
    (b'{"token":"' + b"x" * 70_000 + b'"}', "over 65536 bytes"),
    (b'{"token":1}', "gave no token")])
def test_bad_tokens(reg, image, body, words):
    reg.on("GET", "^/token", lambda h: h.answer(200, {}, body))
    Tokens(reg)
    assert words in pull_fails(f"{reg.host}/t:1")


def test_the_password_stays_with_its_host(reg, image, home):
    """A token server elsewhere is asked without it, and named."""
    other = FakeRegistry()
    try:
        Tokens(reg, user="u:p", realm=f"http://{other.name('b.localhost')}"
                                      "/token")
        Tokens(other, user="u:p")
        write_auth(home, reg.host)
        text = pull_fails(f"{reg.host}/t:1")
        assert "is not sent to the other" in text and "b.localhost" in text
        for request in other.requests():
            assert "Authorization" not in request.headers
            assert "account" not in request.path
        hosts = f"x=y {reg.host}=b.localhost"
        berth("pull", f"{reg.host}/t:1", code=None, BERTH_TOKEN_HOSTS=hosts)
        assert "Authorization" in other.requests("GET", "^/token")[-1].headers
    finally:
        other.stop()


def test_a_token_server_that_redirects(reg, image, home):
    write_auth(home, reg.host)
    reg.on("GET", "^/token", lambda h: h.answer(
        307, {"Location": f"http://{reg.name('b.localhost')}/steal"}))
    Tokens(reg, user="u:p")
    assert "that is not followed" in pull_fails(f"{reg.host}/t:1")
    assert not reg.requests(None, "/steal")


def test_denied(reg, image, home):
    write_auth(home, reg.host)
    reg.on("GET", "/manifests/", lambda h: h.error(
        403, "DENIED", "not for you\x1b[31m"))
    text = pull_fails(f"{reg.host}/t:1")
    assert r"access denied (403): DENIED: not for you\x1b[31m" in text


def test_no_loop_of_challenges(reg, image):
    reg.always("GET", "/manifests/", lambda h: h.error(
        401, "DENIED", "insufficient scope", {
            "WWW-Authenticate": f'Bearer realm="http://{reg.host}/token",'
                                'error="insufficient_scope"'}))
    Tokens(reg)
    assert "insufficient scope" in pull_fails(f"{reg.host}/t:1")
    assert len(reg.requests("GET", "/manifests/")) == 2


# ---- login -------------------------------------------------------------------
@pytest.mark.parametrize("guard", ["basic", "tokens"])
def test_login(reg, image, home, guard):
    if guard == "basic":
        reg.guard = basic("u", "p w")
    else:
        Tokens(reg, user="u:p w")
    bad = berth("login", "-u", "u", "--password-stdin", reg.host, code=1,
                stdin="wrong\n")
    assert "wrong password?" in bad.stderr
    path = home / "docker/config.json"
    assert not path.exists()
    done = berth("login", "-u", "u", "--password-stdin", reg.host,
                 stdin="p w\n")
    assert done.stdout == "Login Succeeded\n"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert json.loads(path.read_text())["auths"] == {
        reg.host: {"auth": base64.b64encode(b"u:p w").decode()}}
    berth("pull", f"{reg.host}/t:1")
    assert "Removed" in berth("logout", reg.host).stdout
    assert "Not logged in" in berth("logout", reg.host).stdout
    assert json.loads(path.read_text())["auths"] == {}


def test_login_asks(reg, home):
    reg.guard = basic("u", "p w")
    out = on_a_terminal("login", reg.host, say=[(b"Username: ", b"u\n"),
                                                (b"Password: ", b"p w\n")])
    assert "Login Succeeded" in out and "p w" not in out
    # Ctrl-C at the password leaves the terminal as it was.
    on_a_terminal("login", "-u", "u", reg.host, code=-signal.SIGINT,
                  say=[(b"Password: ", b"\x03")])


def test_podman_reads_what_login_wrote(reg, home):
    reg.guard = basic("u", "p")
    berth("login", "-u", "u", "--password-stdin", reg.host, stdin="p")
    done = subprocess.run(
        ["skopeo", "login", "--get-login", "--authfile",
         home / "docker/config.json", reg.host], capture_output=True, text=True)
    assert done.stdout == "u\n", done
    subprocess.run(
        ["skopeo", "login", "--tls-verify=false", "--authfile",
         home / "docker/config.json", "-u", "u", "-p", "p", reg.name(
             "localhost")], capture_output=True, check=True)
    assert "Removed" in berth("logout", reg.name("localhost")).stdout


@pytest.mark.parametrize("args, stdin, words", [
    (["--password-stdin"], "p", "needs --username"),
    (["-u", "u", "-p", "p", "--password-stdin"], "p", "exclude each other"),
    (["-u", "u", "--password-stdin"], "", "no password on standard input"),
    (["-u", "u"], "", "no terminal to ask at"),
    (["-u", "u", "--password-stdin", "x/y"], "p", "bad registry"),
])
def test_login_refuses(reg, home, args, stdin, words):
    if args[-1] != "x/y":
        args = [*args, reg.host]
    assert words in berth("login", *args, stdin=stdin, code=1).stderr
