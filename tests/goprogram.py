"""Programs of others that are built from Go modules, once, into build/cache.

They are tools of the tests: nothing of them is part of the project.  Where
one cannot be had, the test that wants it is skipped and says why.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from conftest import TOP

CACHE = TOP / "build" / "cache"
BUILD_TIMEOUT_S = 900


def find_go():
    return shutil.which("go") or next(
        (p for p in ("/usr/local/go/bin/go", "/usr/lib/go/bin/go")
         if os.access(p, os.X_OK)), None)


def run(go, folder, timeout, *steps):
    """Run Go with the words of each step, while they succeed; the last one."""
    for words in steps:
        done = subprocess.run(
            [go, *words], cwd=folder, stdin=subprocess.DEVNULL,
            env={**os.environ, "GOBIN": folder, "GOFLAGS": "-mod=mod"},
            capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            break
    return done


def install(go, folder, package, version, timeout):
    """The finished process that made the program, or did not."""
    wanted = f"{package}@{version}"
    done = run(go, folder, timeout, ["install", wanted])
    if "exclude directives" in done.stderr:
        # Such a module cannot be installed by itself, only as what another
        # module, an empty one, needs.
        done = run(go, folder, timeout, ["mod", "init", "tools"],
                   ["get", wanted], ["install", package])
    return done


def go_program(package, version, timeout=BUILD_TIMEOUT_S):
    """The path of the program that `go install package@version` makes."""
    name = package.rsplit("/", 1)[1]
    path = CACHE / f"{name}-{version}"
    if path.exists():
        return path
    go = find_go()
    if not go:
        pytest.skip(f"Go is not installed: {name} cannot be built")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        try:
            done = install(go, folder, package, version, timeout)
        except subprocess.TimeoutExpired:
            pytest.skip(f"{name} {version} was not built in time")
        if done.returncode != 0:
            pytest.skip(f"{name} {version} cannot be fetched or built: "
                        + done.stderr.strip()[-300:])
        os.rename(pathlib.Path(folder) / name, path)
    return path
