"""The wheel: exactly our packages, whole and typed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = {
    "proxyconn": ROOT / "proxyconn",
    "proxyconn_bluez": ROOT / "backends" / "proxyconn_bluez",
    "proxyconn_cluster": ROOT / "backends" / "proxyconn_cluster",
    "proxyconn_esphome": ROOT / "backends" / "proxyconn_esphome",
    "proxyconn_native_api": ROOT / "backends" / "proxyconn_native_api",
    "proxyconn_owner": ROOT / "backends" / "proxyconn_owner",
    "proxyconn_web": ROOT / "backends" / "proxyconn_web",
    "proxyconn_top": ROOT / "backends" / "proxyconn_top",
    "proxyconn_virtual": ROOT / "backends" / "proxyconn_virtual",
    "proxyconn_proto": ROOT / "proto" / "proxyconn_proto",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel built from the tree, in plain Python: `scripts/build` tries compiled ones."""
    folder = tmp_path_factory.mktemp("wheel")
    plain = os.environ | {"SKIP_CYTHON": "1"}
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=50, env=plain)
    (wheel,) = folder.glob("*.whl")
    return wheel


def names(wheel: Path) -> set[str]:
    """Return the names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_top_level(wheel: Path) -> None:
    """Nothing but our packages can be imported from the wheel."""
    top = {name.partition("/")[0] for name in names(wheel)}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_package(wheel: Path, package: str) -> None:
    """Every module of a package is in the wheel, generated ones and the typing marker included."""
    folder = PACKAGES[package]
    expected = {"py.typed", *(str(path.relative_to(folder)) for path in folder.rglob("*.py*"))}
    expected = {name for name in expected if "__pycache__" not in name}
    found = {
        name.removeprefix(f"{package}/") for name in names(wheel) if name.startswith(f"{package}/")
    }
    assert expected - found == set()


def test_wheel_entry_points(wheel: Path) -> None:
    """The wheel announces the command and the backends."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith("entry_points.txt"))
        text = archive.read(name).decode()
    assert "proxyconn = proxyconn.cli:main" in text
    assert "[proxyconn.backends]\nbluez = proxyconn_bluez" in text
    assert "\nesphome = proxyconn_esphome" in text
    assert "[proxyconn.local]\nbluez = proxyconn_bluez" in text
