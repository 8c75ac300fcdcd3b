"""What is refused before anything is done, and what is said about the program itself."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
LAMP = "C4:00:00:00:00:01"


def test_version(invoke: Invoke) -> None:
    """--version prints the version."""
    result = invoke("--version")
    assert (result.exit_code, result.output) == (0, f"proxyconn {version('proxyconn')}\n")


def test_help_lists_commands(invoke: Invoke) -> None:
    """--help lists our commands and those that come by entry point."""
    result = invoke("--help")
    assert result.exit_code == 0
    for name in (
        "discover",
        "scan",
        "slots",
        "services",
        "read",
        "write",
        "notify",
        "params",
        "run",
    ):
        assert f" {name} " in result.output
    assert " virtual " in result.output
    assert " demo " in result.output
    assert " cluster " in result.output


@pytest.mark.parametrize(
    "command", ["discover", "scan", "read", "params", "run", "virtual", "demo"]
)
def test_help_tells_no_key(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """The help of a command does not show the key in the environment."""
    monkeypatch.setenv("PROXYCONN_KEY", KEY)
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output
    assert KEY not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frob"], "No such command"),
        (["state", "--forget", "lamp"], "is not an address"),
        (["discover", "--no-discover"], "no proxy to use"),
        (["discover", "--proxy", "fe80::1"], "brackets"),
        (["discover", "--interface", "eth0"], "not an IP address"),
        (["discover", "--interface", "203.0.113.1"], "no interface of this machine has that"),
        (["virtual", "--interface", "203.0.113.1"], "no interface of this machine has that"),
        (["discover", "--timeout", "soon"], "--timeout"),
        (["read", LAMP], "CHAR"),
        (["read", "C4:00", "2a19", "--proxy", "a", "--timeout", "-1"], "--timeout"),
        (["read", "C4:00:00", "2a19"], "neither a device's name nor its address"),
        (["read", LAMP, "2a1"], "neither a UUID"),
        (["write", LAMP, "2a19", "xy"], "not hexadecimal"),
        (["notify", LAMP, "2a19", "--count", "0"], "--count"),
        (["params", LAMP, "5", "40", "0", "400", "--proxy", "a"], "min_interval must be 6 to"),
        (["params", LAMP, "24", "3201", "0", "400", "--proxy", "a"], "max_interval must be 24"),
        (["params", LAMP, "24", "40", "0", "10", "--proxy", "a"], "timeout must be at least"),
        (["virtual", "--profile", "1999"], "no profile"),
        (["virtual", "--radio", "cb"], "neither simulated nor bumble"),
        (["virtual", "--prefix", "a_b"], "lower-case letters"),
        (["virtual", "--prefix", "a" * 23], "is not 1 to 22"),
        (["virtual", "--interface", "::1"], "not an IPv4 address"),
        (["demo", "--seed", "x"], "--seed"),
        (["run"], "PROGRAM"),
        (["run", "--frob", "program"], "--frob"),
        (["run", "--no-discover", "program"], "no proxy to use"),
    ],
)
def test_bad_usage(invoke: Invoke, arguments: list[str], words: str) -> None:
    """What cannot be meant so ends with exit code 2 and says why."""
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("discovr = true", "did you mean discover?"),
        ("discover = tru", "not valid TOML"),
        ('key = "my secret"', "base64 of 32 bytes"),
    ],
)
def test_bad_config(invoke: Invoke, tmp_path: Path, text: str, words: str) -> None:
    """A configuration that cannot be used ends with exit code 2, the file's name and why."""
    file = tmp_path / "x.toml"
    file.write_text(text)
    result = invoke("discover", "--config", file)
    assert result.exit_code == 2
    assert f"{file}: " in result.output
    assert words in result.output
    assert "secret" not in result.output


def test_bad_config_bytes(invoke: Invoke, tmp_path: Path) -> None:
    """A file that is no text is refused as one."""
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    result = invoke("discover", "--config", tmp_path / "x.toml")
    assert (result.exit_code, "not UTF-8" in result.output) == (2, True)


def test_missing_config(invoke: Invoke, tmp_path: Path) -> None:
    """A file that was named must be there; the user's own need not."""
    result = invoke("discover", "--config", tmp_path / "none.toml")
    assert (result.exit_code, "there is no such file" in result.output) == (2, True)


def test_users_config(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own configuration is read without being named."""
    (tmp_path / ".config" / "proxyconn").mkdir(parents=True)
    (tmp_path / ".config" / "proxyconn" / "config.toml").write_text("frob = 1")
    result = invoke("discover")
    assert (result.exit_code, "frob is unknown" in result.output) == (2, True)


def test_bad_key_in_environment(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed key is bad usage, and is not repeated."""
    monkeypatch.setenv("PROXYCONN_KEY", "my secret")
    result = invoke("discover", "--proxy", "127.0.0.1", "--no-discover")
    assert (result.exit_code, "PROXYCONN_KEY" in result.output) == (2, True)
    assert "secret" not in result.output


KEY_PLACES = [
    ["discover", "--key", KEY],
    ["discover", f"--key={KEY}"],
    ["discover", "--key=short-secret"],
    ["discover", "--key", "short-secret"],
    ["discover", KEY[:-1]],
    ["discover", "--proxy", KEY],
    ["read", LAMP, "--key", KEY],
    ["read", LAMP, "2a19", "--key", KEY],
    ["read", "--key", KEY, LAMP],
    ["read", "--key", "short-secret", LAMP, "2a19"],
    ["scan", "-v", "--key", KEY, "--json"],
    ["virtual", KEY],
    ["virtual", KEY[:-1]],
    ["--key", KEY, "discover"],
    [KEY[:-1]],
]


@pytest.mark.parametrize("arguments", KEY_PLACES)
def test_key_given(invoke: Invoke, arguments: list[str]) -> None:
    """A key on the command line is refused with what to do instead, and not repeated."""
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "--key asks for the key: leave the value out, or set PROXYCONN_KEY" in result.output
    assert "in ps" in result.output
    assert KEY[:-1] not in result.output
    assert "short-secret" not in result.output


def test_key_given_in_the_middle(invoke: Invoke) -> None:
    """What follows --key is not repeated where it may be an argument, either."""
    result = invoke("read", LAMP, "--key", "short-secret")
    assert result.exit_code == 2
    assert "what follows --key is neither a UUID" in result.output
    assert "secret" not in result.output


def test_extra_argument(invoke: Invoke) -> None:
    """What is too much and no key is named; long bytes to write are no key."""
    result = invoke("discover", "frob")
    assert (result.exit_code, "(frob)" in result.output) == (2, True)
    result = invoke("write", LAMP, "2a19", "00" * 32, "--no-discover")
    assert (result.exit_code, "no proxy to use" in result.output) == (2, True)


def test_key_not_entered(invoke: Invoke) -> None:
    """Nothing on stdin is no key."""
    result = invoke("discover", "--key", "--no-discover", "--proxy", "127.0.0.1")
    assert (result.exit_code, "no key was entered" in result.output) == (2, True)


@pytest.mark.parametrize(("verbose", "told"), [(0, False), (2, True)])
def test_what_zeroconf_warns_of_is_shown_when_asked_for(*, verbose: int, told: bool) -> None:
    """It warns of each interface that it can do without, by a traceback."""
    program = (
        "import zeroconf, logging, proxyconn.cli.logs as logs\n"
        f"logs.set_up_logging(verbose={verbose})\n"
        "logging.getLogger('zeroconf').warning('Error with socket 7')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert ("Error with socket" in run.stderr) is told
