"""berth against registries that others wrote, and against ours behind TLS."""

import io
import json
import os
import pathlib
import shutil
import tarfile
import urllib.error
import urllib.request
import warnings

import pytest

import debian_image
from conftest import Berthd, free_port
from engines import Daemon, run
from fakeregistry import Authority, tar_of
from remotes import berth
from containers import rootfs_tar

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import crypt

pytestmark = pytest.mark.usefixtures("fresh_store")
USER, PASSWORD = "tester", "pass:word €"


def missing(program):
    return pytest.mark.skipif(shutil.which(program) is None,
                              reason=f"{program} is not installed")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), run)


@pytest.fixture(scope="module")
def cert_dir(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("certs")
    shutil.copy(authority.crt, path / "ca.crt")
    return path


@pytest.fixture(autouse=True)
def no_passwords(tmp_path, monkeypatch):
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def answers(url):
    """Somebody speaks HTTP there, whatever he says."""
    def probe():
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except (OSError, urllib.error.URLError) as failed:
            return "CERTIFICATE_VERIFY_FAILED" in str(failed)
        return True
    return probe


def distribution(folder, tls=None, users=False):
    """Debian's docker-registry; returns it and its host."""
    port = free_port()
    http = {"addr": f"127.0.0.1:{port}"}
    if tls:
        http["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
    config = {"version": 0.1, "log": {"level": "error"}, "http": http,
              "storage": {"filesystem": {"rootdirectory": f"{folder}/data"}}}
    if users:
        salt = crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)
        (folder / "htpasswd").write_text(
            f"{USER}:{crypt.crypt(PASSWORD, salt)}\n")
        config["auth"] = {"htpasswd": {"realm": "peers",
                                       "path": f"{folder}/htpasswd"}}
    (folder / "config.yml").write_text(json.dumps(config))
    daemon = Daemon(["docker-registry", "serve", folder / "config.yml"],
                    folder / "log",
                    answers(f"{'https' if tls else 'http'}://127.0.0.1:{port}"))
    return daemon, port


@pytest.fixture(scope="module")
def image(tmp_path_factory, fresh_store):
    """peers:1 in the store: busybox and some layers above."""
    folder = tmp_path_factory.mktemp("layers")
    (folder / "root.tar").write_bytes(rootfs_tar())
    berth("import", folder / "root.tar", "peers:1")
    return "peers:1"


def there_and_back(image, name, *flags):
    """Push, forget, pull, run."""
    pushed = berth("push", *flags, image, name).stdout
    berth("pull", *flags, name)
    done = berth("run", "--rm", "--pull", "never", name, "echo", "hello")
    assert done.stdout == "hello\n"
    digest = pushed.split("digest: ")[1].split()[0]
    found, = json.loads(berth("inspect", name).stdout)
    assert f"{name.rsplit(':', 1)[0]}@{digest}" in found["RepoDigests"]
    berth("rmi", name)
    return digest


@missing("docker-registry")
def test_distribution_with_users(image, tmp_path):
    daemon, port = distribution(tmp_path, users=True)
    try:
        host = f"127.0.0.1:{port}"
        text = berth("push", image, f"{host}/a:1", code=1).stderr
        assert f"berth login {host}" in text
        text = berth("login", "-u", USER, "--password-stdin", host, code=1,
                     stdin="wrong").stderr
        assert "wrong password?" in text
        berth("login", "-u", USER, "--password-stdin", host, stdin=PASSWORD)
        there_and_back(image, f"{host}/a:1")
        # Another repository gets its layers without a byte sent.
        berth("tag", image, f"{host}/a:1")
        assert "Mounted from a" in berth("push", image, f"{host}/b:1").stderr
        run("skopeo", "inspect", "--tls-verify=false", "--authfile",
            tmp_path / "docker/config.json", f"docker://{host}/b:1")
        gone = berth("pull", f"{host}/none:1", code=1).stderr
        assert "MANIFEST_UNKNOWN" in gone and gone.count("berth: ") == 1
    finally:
        daemon.stop()


@missing("docker-registry")
def test_distribution_with_tls(image, tmp_path, authority, cert_dir):
    daemon, port = distribution(
        tmp_path, tls=authority.issue("peer", "DNS:peer.localhost"),
        users=True)
    try:
        host = f"peer.localhost:{port}"
        assert "certificate" in berth("login", "-u", USER, "--password-stdin",
                                      host, stdin=PASSWORD, code=1).stderr
        berth("login", "-u", USER, "--password-stdin", "--cert-dir", cert_dir,
              host, stdin=PASSWORD)
        there_and_back(image, f"{host}/t/a:1", "--cert-dir", cert_dir)
    finally:
        daemon.stop()


NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/log;
events {{}}
http {{
    access_log off; client_max_body_size 0; proxy_request_buffering off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
    fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d;
    scgi_temp_path {folder}/e;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {crt}; ssl_certificate_key {key};
        location / {{
            proxy_pass http://127.0.0.1:{to}; proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto https;
        }}
    }}
}}
"""


@missing("nginx")
def test_berthd_behind_nginx(image, tmp_path, authority, cert_dir):
    server = Berthd(tmp_path / "data")
    crt, key = authority.issue("proxy", "DNS:proxy.localhost")
    port = free_port()
    (tmp_path / "conf").write_text(NGINX.format(
        folder=tmp_path, port=port, to=server.port, crt=crt, key=key))
    proxy = Daemon(["nginx", "-c", tmp_path / "conf", "-e", tmp_path / "log"],
                   tmp_path / "out", answers(f"https://127.0.0.1:{port}"))
    try:
        there_and_back(image, f"proxy.localhost:{port}/t/a:1", "--cert-dir",
                       cert_dir)
        # 30 MiB that do not compress, through the proxy and back.
        (tmp_path / "big.tar").write_bytes(
            tar_of({"big": os.urandom(30 << 20)}))
        berth("import", tmp_path / "big.tar", "peers:big")
        name = f"proxy.localhost:{port}/t/big:1"
        berth("push", "--cert-dir", cert_dir, "peers:big", name)
        berth("rmi", "peers:big")
        berth("pull", "--cert-dir", cert_dir, name)
    finally:
        proxy.stop()
        server.stop()


@pytest.mark.parametrize("level", [1, 19])
def test_zstd_layers(shared, tmp_path, level):
    """An image that skopeo compressed with zstd runs."""
    layout = tmp_path / "layout"
    archive = tmp_path / "root.tar"
    archive.write_bytes(rootfs_tar())
    berth("import", archive, f"zstd:{level}")
    berth("push", f"zstd:{level}", f"{shared.host}/zstd/gzip:{level}")
    run("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
        "--dest-compress-format", "zstd", "--dest-compress-level", level,
        f"docker://{shared.host}/zstd/gzip:{level}", f"oci:{layout}:image")
    name = f"{shared.host}/zstd/a:{level}"
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:image",
        f"docker://{name}")
    raw = json.loads(run("skopeo", "inspect", "--raw", "--tls-verify=false",
                         f"docker://{name}"))
    if not raw["layers"][0]["mediaType"].endswith("+zstd"):
        pytest.fail("skopeo did not compress with zstd: " + str(raw))
    berth("rmi", f"zstd:{level}")
    berth("pull", name)
    assert berth("run", "--rm", name, "cat", "/data/seed").stdout == \
        "from the image\n"


def xattr_tar():
    """Files with attributes as GNU tar and Go write them in PAX headers."""
    out = io.BytesIO()
    capability = debian_image.CAP_NET_RAW_EP.decode("latin-1")
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, headers in {
                "plain": {},
                "user": {"SCHILY.xattr.user.note": "kept",
                         "SCHILY.xattr.user.other": "too"},
                "capable": {"SCHILY.xattr.security.capability": capability},
                "forged": {"SCHILY.xattr.trusted.overlay.opaque": "y",
                           "SCHILY.xattr.user.overlay.opaque": "y"}}.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            # PAX values are bytes; tarfile writes them as UTF-8 unless told.
            info.pax_headers = {"hdrcharset": "BINARY", **headers}
            tar.addfile(info)
    return out.getvalue()


def test_attributes_come_with_a_pull(shared, fresh_store, tmp_path):
    archive = tmp_path / "root.tar"
    archive.write_bytes(xattr_tar())
    berth("import", archive, "attributes:1")
    name = f"{shared.host}/attributes:1"
    berth("push", "attributes:1", name)
    berth("rmi", "attributes:1")
    for path in (pathlib.Path(fresh_store) / "layers").glob("*/fs/capable"):
        pytest.fail(f"{path} is still here: the pull would prove nothing")
    berth("pull", name)
    folder, = {path.parent for path in
               (pathlib.Path(fresh_store) / "layers").glob("*/fs/capable")}
    found = {path.name: {key: os.getxattr(path, key)
                         for key in os.listxattr(path)
                         if not key.startswith("security.selinux")}
             for path in folder.iterdir()}
    assert found == {
        "plain": {}, "user": {"user.note": b"kept", "user.other": b"too"},
        "capable": {"security.capability": debian_image.CAP_NET_RAW_EP},
        "forged": {}}
