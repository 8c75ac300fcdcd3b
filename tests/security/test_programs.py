"""What other users of the machine can see: the files that are made, and the list of processes."""

from __future__ import annotations

import logging
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxyconn.cli.config_file import parse_config
from proxyconn.cli.options import set_up_logging
from proxyconn.radio import Proxy
from tests.cli.conftest import PROGRAM

from .keys import shown

PROCESSES = Path("/proc")
DEADLINE = 30.0
"""Seconds within which any command has ended."""

SHELL = ("sh", "-c", 'umask 0; exec "$0" "$@"')
"""Runs a program that is asked to keep nothing from others."""

pytestmark = pytest.mark.skipif(not PROCESSES.is_dir(), reason="needs /proc")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment away from the user's own configuration."""
    kept = {name: value for name, value in os.environ.items() if "PROXYCONN" not in name}
    return kept | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}


def command_lines() -> str:
    """Return the arguments of every process there is, as `ps` shows them."""
    found = []
    for process in PROCESSES.glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:  # it has ended
            continue
    return "\n".join(found)


@contextmanager
def virtual_proxy(file: Path, environment: dict[str, str]) -> Iterator[Proxy]:
    """Run a virtual proxy that writes its configuration; its key is in no output of its."""
    prefix = f"s{os.getpid():x}"
    process = subprocess.Popen(
        [
            *(*SHELL, str(PROGRAM), "virtual", "--write-config", str(file)),
            *("--proxies", "1", "--devices", "1", "--prefix", prefix),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
    )
    try:
        ends = time.monotonic() + DEADLINE
        while not (file.exists() and file.stat().st_size):
            assert time.monotonic() < ends
            assert process.poll() is None
            time.sleep(0.05)
        [proxy] = parse_config(file.read_text(), file.name).proxies
        yield proxy
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=DEADLINE)
    assert proxy.noise_psk
    assert not shown(out, proxy.noise_psk)


def watched(arguments: list[str], key: str, environment: dict[str, str], stdin: str = "") -> str:
    """Run a command to its end; return what it printed, having looked at `ps` all the time."""
    process = subprocess.Popen(
        [PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.flush()
    looks = 0
    ends = time.monotonic() + DEADLINE
    while process.poll() is None and time.monotonic() < ends:
        assert not shown(command_lines(), key)
        looks += 1
        time.sleep(0.02)
    out, _ = process.communicate(timeout=DEADLINE)
    assert looks > 2
    assert not shown(out, key)
    return out


def test_key_is_in_no_list_of_processes(tmp_path: Path, environment: dict[str, str]) -> None:
    """However a key is given, `ps`, the output and the whole log do not show it."""
    file = tmp_path / "virtual.toml"
    with virtual_proxy(file, environment) as proxy:
        key = proxy.noise_psk or ""
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        where = ["--proxy", f"{proxy.host}:{proxy.port}", "--no-discover", "--timeout", "10"]
        scan = ["scan", "--json", "--for", "0.5", "-vv"]
        assert "C4:" in watched([*scan, "--config", str(file)], key, environment)
        assert "C4:" in watched([*scan, *where, "--key"], key, environment, f"{key}\n")
        by_variable = environment | {"PROXYCONN_KEY": key}
        assert "C4:" in watched([*scan, *where], key, by_variable)


def test_file_that_is_there_is_not_written_to(tmp_path: Path, environment: dict[str, str]) -> None:
    """Nor through a link, whose target might be readable by others."""
    target, link = tmp_path / "target", tmp_path / "link.toml"
    link.symlink_to(target)
    done = subprocess.run(
        [PROGRAM, "virtual", "--write-config", link],
        env=environment,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 2
    assert not target.exists()


def test_log_does_not_steer_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a device calls itself stands in the log, and could clear the screen or worse."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    set_up_logging(verbose=1)
    logging.getLogger("proxyconn").error("%s: lost", "\x1b[2J\x1b]0;title\x07kettle")
    err = capsys.readouterr().err
    assert "kettle: lost\n" in err
    assert "\x1b" not in err
    assert "\x07" not in err
