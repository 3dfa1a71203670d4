"""The specification's own conformance program, everything on.

It needs Go once: the program is built into build/cache and kept there.
"""

import collections
import os
import subprocess
import xml.etree.ElementTree as xml

import pytest

from conftest import Berthd
from content import SETS
from figures import note
from goprogram import go_program
from requirements import APIS, DATA

PACKAGE = "github.com/opencontainers/distribution-spec/conformance"
VERSION = "v0.0.0-20260831232431-97274622c111"
RUN_TIMEOUT_S = 600
# What a version of the specification does not have is switched off by the
# program itself; nothing else may be.
DISABLED = {
    ("1.1", False): {"Blob upload cancel", "Manifest put with tag params",
                     "Sparse Manifests", "Tag Param", "Tag Param sha512"},
    ("dev", False): {"Sparse Manifests"},
    ("dev", True): set(),
}
OFF = "off in this version"


@pytest.fixture(scope="module")
def program():
    return go_program(PACKAGE, VERSION)


def read_results(path):
    """{"apis": {name: result}, "data": {name: result}} of results.yaml."""
    found, section = collections.defaultdict(dict), None
    for line in path.read_text().splitlines():
        if not line.startswith(" "):
            section = line.rstrip(":")
        elif section in ("apis", "data") and not line.startswith("   "):
            name, _, result = line.strip().rpartition(": ")
            found[section][name] = result
    return found


def count(path):
    """(passed, everything else) of the single checks in junit.xml."""
    states = collections.Counter()
    for case in xml.parse(path).iter("testcase"):
        text = "".join(case.itertext())
        off = "is disabled in the configuration" in text
        states[OFF if off else case.get("status")] += 1
    return states.pop("passed", 0), dict(states)


@pytest.mark.parametrize("version, sparse", sorted(DISABLED))
def test_conformance(program, tmp_path, version, sparse):
    args = []
    if sparse:
        conf = tmp_path / "registry.conf"
        conf.write_text('sparse-repositories = {"conformance/*"}\n')
        args = ["--config", str(conf)]
    server = Berthd(tmp_path / "data", *args)
    results = tmp_path / "results"
    done = subprocess.run(
        [program], cwd=tmp_path, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=RUN_TIMEOUT_S,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path),
             "OCI_VERSION": version, "OCI_REGISTRY": server.host,
             "OCI_TLS": "disabled", "OCI_REPO1": "conformance/repo1",
             "OCI_REPO2": "conformance/repo2",
             "OCI_DATA_SPARSE": "true" if sparse else "false",
             "OCI_RESULTS_DIR": str(results)})
    server.stop()
    passed, other = count(results / "junit.xml")
    figures = [(passed, "passed"),
               (other.get("failure", 0) + other.get("error", 0), "failed"),
               (other.get("skipped", 0), "skipped"), (other.get(OFF, 0), OFF)]
    note(f"conformance {version}{' sparse' if sparse else ''}",
         ", ".join(f"{number} {what}" for number, what in figures))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = read_results(results / "results.yaml")
    # All that it tests, our own tests have as well.
    assert set(found["apis"]) == set(APIS)
    assert set(found["data"]) == set(DATA) | set(SETS)
    everything = {**found["apis"], **found["data"]}
    off = {n for n, result in everything.items() if result == "Disabled"}
    assert off == DISABLED[version, sparse]
    assert all(r == "Pass" for n, r in everything.items() if n not in off)
    assert passed > 600 and set(other) <= {OFF}, other
