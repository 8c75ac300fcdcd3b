"""The guards of tests/conftest.py, each seen to catch what it is there for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

BLOCKING = """
import time
async def test_it():
    time.sleep(0.001)
"""
TASK = """
import asyncio
KEPT = set()
async def test_it():
    KEPT.add(asyncio.create_task(asyncio.sleep(30)))
"""
SOCKET = """
import socket
KEPT = set()
async def test_it():
    KEPT.add(socket.socket())
"""
SYNCHRONOUS_SOCKET = """
import socket
KEPT = set()
def test_it():
    KEPT.add(socket.socket())
"""
UNCLOSED = """
import socket
def test_it():
    socket.socket()
"""
CLEAN = """
import asyncio
async def handle(reader, writer):
    writer.close()
    await writer.wait_closed()
async def test_it():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
"""
LOOPTIME = """
import asyncio, pytest
@pytest.mark.looptime
async def test_it():
    await asyncio.sleep(1000)
"""


def run_test(folder: Path, source: str) -> tuple[int, str]:
    """Run one test under the guards, and return pytest's exit status and output."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_it.py").write_text(source)
    options = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=50,
    )
    return run.returncode, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (BLOCKING, "Blocking call to time.sleep"),
        (TASK, "tasks left"),
        (SOCKET, "left open"),
        (SYNCHRONOUS_SOCKET, "left open"),
        (UNCLOSED, "ResourceWarning"),
    ],
)
def test_guard_catches(tmp_path: Path, source: str, words: str) -> None:
    """A test that blocks, or that leaves something behind, fails and says why."""
    if words == "left open" and sys.platform != "linux":
        pytest.skip("file descriptors are counted through /proc")
    status, output = run_test(tmp_path, source)
    assert status == 1, output
    assert words in output


@pytest.mark.parametrize("source", [CLEAN, LOOPTIME])
def test_guard_lets_pass(tmp_path: Path, source: str) -> None:
    """A test that cleans up after itself passes, on a fast-forwarded clock too."""
    status, output = run_test(tmp_path, source)
    assert status == 0, output
