"""The import contracts: kept by the tree, and each seen to break when it should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = (
    "proxyconn",
    "backends/proxyconn_bluez",
    "backends/proxyconn_esphome",
    "backends/proxyconn_native_api",
    "backends/proxyconn_owner",
    "backends/proxyconn_web",
    "backends/proxyconn_virtual",
    "proto/proxyconn_proto",
)


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts for the packages in a folder."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of the packages and the contracts."""
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / Path(package).name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_are_kept(tree: Path) -> None:
    """The tree keeps every contract."""
    result = lint(tree)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("proxyconn/connection_parameters.py", "import google.protobuf", "The core knows no radio"),
        ("proxyconn/models.py", "import proxyconn_esphome", "The core knows no radio"),
        ("proxyconn/local/stack.py", "import proxyconn_bluez.stack", "The core knows no radio"),
        ("proxyconn/local/stack.py", "import dbus_fast", "The core knows no radio"),
        ("proxyconn_bluez/bus/watch.py", "import proxyconn_esphome", "Radios stand on the core"),
        (
            "proxyconn_esphome/codes.py",
            "import proxyconn_virtual.radio",
            "Radios stand on the core",
        ),
        ("proxyconn_native_api/frames.py", "import proxyconn.radio", "another end of the wire"),
        ("proxyconn_proto/__init__.py", "import proxyconn", "The wire format imports nothing"),
        ("proxyconn/failures/retry_budget.py", "import random", "Pure modules decide"),
        (
            "proxyconn_esphome/session/listener.py",
            "if TYPE_CHECKING:\n    import proxyconn_esphome.session.session",
            "No circles",
        ),
        ("proxyconn/errors.py", "import proxyconn.failures.rules", "Layers of proxyconn"),
    ],
)
def test_contract_breaks(tree: Path, module: str, line: str, contract: str) -> None:
    """An import that a contract forbids is found, and the contract is named."""
    path = tree / module
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    result = lint(tree)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [one for one in result.stdout.splitlines() if " BROKEN" in one]
    assert any(contract in one for one in broken), result.stdout
