"""helm: charts as OCI artifacts."""

import gzip

import pytest

import archives
from clients import here, program_fixture  # noqa: F401
from figures import figure
from rawhttp import sha256

pytestmark = figure("real clients", "by helm")
helm = program_fixture("helm")
CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"
TEMPLATE = """apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  greeting: {{ .Values.greeting }}
"""


def write_chart(folder, name, version, more=""):
    """A packed chart; its path."""
    files = {"Chart.yaml": f"apiVersion: v2\nname: {name}\n"
                           f"version: {version}\n{more}",
             "values.yaml": f"greeting: {name} {version}\n",
             "templates/map.yaml": TEMPLATE}
    path = folder / f"{name}-{version}.tgz"
    path.write_bytes(gzip.compress(archives.to_tar(
        {f"{name}/{key}": text.encode() for key, text in files.items()})))
    return path


def push(helm, here, repo, path):
    helm("push", "--plain-http", path, f"oci://{here.host}/{repo}")


@pytest.fixture
def chart(helm, here, repo, tmp_path):
    """Pushed as version 1.2.3: its packed form."""
    path = write_chart(tmp_path, "app", "1.2.3")
    push(helm, here, repo, path)
    return path


def test_chart(helm, here, repo, chart, tmp_path):
    """push a chart, pull it by version and by digest"""
    made = here.manifest(f"{repo}/app", "1.2.3")
    assert made["config"]["mediaType"] == CONFIG
    assert [part["mediaType"] for part in made["layers"]] == [CHART]
    assert made["layers"][0]["digest"] == sha256(chart.read_bytes())
    assert here.has_all(f"{repo}/app", "1.2.3")
    name = f"oci://{here.host}/{repo}/app"
    digest = here.digest(f"{repo}/app", "1.2.3")
    for number, args in enumerate(((name, "--version", "1.2.3"),
                                   (f"{name}@{digest}",))):
        out = tmp_path / f"out{number}"
        out.mkdir()
        helm("pull", "--plain-http", *args, "-d", out)
        [got] = out.iterdir()
        assert got.read_bytes() == chart.read_bytes()
    helm.refused("pull", "--plain-http", name, "--version", "9.9.9")


def test_show(helm, here, repo, chart):
    """show a chart, and render it, straight from the registry"""
    name = f"oci://{here.host}/{repo}/app"
    args = "--plain-http", name, "--version", "1.2.3"
    assert "version: 1.2.3\n" in helm("show", "chart", *args)
    assert helm("show", "values", *args).strip() == "greeting: app 1.2.3"
    shown = helm("template", "release", name, *args[:1], *args[2:])
    assert "greeting: app 1.2.3" in shown
    # Reading has left nothing behind on the server.
    assert here.tags(f"{repo}/app") == ["1.2.3"]


def test_versions(helm, here, repo, chart, tmp_path):
    """find the newest version and a range's; one with build metadata"""
    for version in "1.10.0", "2.0.0-rc.1", "1.9.9", "3.0.0+build.5":
        push(helm, here, repo, write_chart(tmp_path, "app", version))
    assert here.tags(f"{repo}/app") == [
        "1.10.0", "1.2.3", "1.9.9", "2.0.0-rc.1", "3.0.0_build.5"]
    name = f"oci://{here.host}/{repo}/app"
    for wanted, found in (("<2", "1.10.0"), ("~1.9.0", "1.9.9"),
                          ("2.0.0-rc.1", "2.0.0-rc.1"),
                          (">=0", "3.0.0+build.5"),
                          ("3.0.0+build.5", "3.0.0+build.5")):
        assert f"version: {found}\n" in helm(
            "show", "chart", "--plain-http", name, "--version", wanted)
    assert "version: 3.0.0+build.5\n" in helm("show", "chart", "--plain-http",
                                              name)


def test_provenance(helm, here, repo, tmp_path):
    """push and pull a chart with its provenance file"""
    path = write_chart(tmp_path, "app", "1.0.0")
    proof = path.with_name(path.name + ".prov")
    proof.write_text("signed by nobody\n")
    push(helm, here, repo, path)
    made = here.manifest(f"{repo}/app", "1.0.0")
    assert {part["mediaType"] for part in made["layers"]} == {CHART,
                                                              PROVENANCE}
    (tmp_path / "out").mkdir()
    helm("pull", "--plain-http", "--prov", f"oci://{here.host}/{repo}/app",
         "--version", "1.0.0", "-d", tmp_path / "out")
    assert (tmp_path / "out" / proof.name).read_text() == "signed by nobody\n"


def test_dependency(helm, here, repo, chart, tmp_path):
    """fetch what a chart depends on"""
    (tmp_path / "top" / "templates").mkdir(parents=True)
    (tmp_path / "top" / "Chart.yaml").write_text(
        "apiVersion: v2\nname: top\nversion: 0.1.0\ndependencies:\n"
        f"- name: app\n  version: 1.x\n  repository: oci://{here.host}/"
        f"{repo}\n")
    helm("dependency", "update", "--plain-http", tmp_path / "top")
    got = tmp_path / "top" / "charts" / "app-1.2.3.tgz"
    assert got.read_bytes() == chart.read_bytes()
    helm("package", tmp_path / "top", "-d", tmp_path)
    push(helm, here, repo, tmp_path / "top-0.1.0.tgz")
    assert here.has_all(f"{repo}/top", "0.1.0")


def test_again(helm, here, repo, tmp_path):
    """push a version again: the tag moves to the new chart"""
    first = write_chart(tmp_path, "app", "1.0.0")
    push(helm, here, repo, first)
    before = here.digest(f"{repo}/app", "1.0.0")
    push(helm, here, repo, write_chart(tmp_path, "app", "1.0.0",
                                       "description: new\n"))
    assert here.digest(f"{repo}/app", "1.0.0") != before
    assert here.digest(f"{repo}/app", before) == before
    assert "description: new" in helm(
        "show", "chart", "--plain-http", f"oci://{here.host}/{repo}/app",
        "--version", "1.0.0")
