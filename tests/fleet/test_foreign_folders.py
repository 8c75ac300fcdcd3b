"""Folders that are another user's, as after `su`: work goes on without, or the error says so."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxyconn import Fleet
from proxyconn.cli.config_file import ConfigError
from proxyconn.fleet.owner_socket import RUNTIME_VARIABLE, SOCKET, USERS_VARIABLE, find_owner
from proxyconn.programs.launch import ProgramNotFoundError, find_program
from proxyconn.state.file import FILE, StateError, StateFile
from proxyconn_owner.identity import FILE as IDENTITY
from proxyconn_owner.identity import load_identity
from proxyconn_owner.single import only_owner
from proxyconn_virtual.peripheral_files.from_python import peripherals_of_module

NOBODY = 65534
TOO_LONG = "x" * 300
"""A name that no file can have, which the system says instead of that there is no such file."""


@contextmanager
def without_rights() -> Iterator[None]:
    """Be nobody in particular, if the tests are run by root, who may do anything."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if mine == 0:
            os.seteuid(mine)


@pytest.fixture
def theirs() -> Iterator[Path]:
    """Return a folder that can be entered and read, and not written."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield folder
        folder.chmod(0o700)


async def test_a_fleet_begins_without_an_owner_and_a_state_that_are_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says in the log that nothing is remembered."""
    monkeypatch.setenv(RUNTIME_VARIABLE, str(tmp_path / TOO_LONG))
    with caplog.at_level(logging.WARNING):
        async with Fleet(discover=False, state=tmp_path / TOO_LONG):
            pass
    assert "going without what was remembered" in caplog.text


def test_a_folder_that_may_not_be_entered(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no owner of ours in it, and no state."""
    inside = theirs / "proxyconn"
    inside.mkdir()
    (inside / SOCKET).touch()
    (inside / FILE).touch()
    monkeypatch.setenv(RUNTIME_VARIABLE, str(inside))
    theirs.chmod(0o000)
    with without_rights():
        assert find_owner() is None
        with pytest.raises(StateError, match="Permission denied; give this user the right"):
            StateFile(inside).read()
        with pytest.raises(StateError, match=USERS_VARIABLE), only_owner(inside):
            pass
        with pytest.raises(ProgramNotFoundError, match="cannot be read: Permission denied"):
            find_program(str(inside / "program.py"))
        with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
            peripherals_of_module(inside / "peripherals.py", None, [])


def test_a_file_that_may_not_be_set_aside(theirs: Path) -> None:
    """It cannot be used, and the error says why, and what to do."""
    for name in (FILE, IDENTITY):
        (theirs / name).write_bytes(b"nonsense" * 100)
        (theirs / name).chmod(0o444)
    theirs.chmod(0o555)
    with without_rights():
        with pytest.raises(StateError, match="give this user the right"):
            StateFile(theirs).read()
        with pytest.raises(StateError, match="not be set aside: Permission denied"):
            load_identity(theirs)
