"""What is refused before anything is done, and what is said about the program itself."""

from __future__ import annotations

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
    for name in ("discover", "scan", "slots", "services", "read", "write", "notify", "params"):
        assert f" {name} " in result.output
    assert " virtual " in result.output
    assert " demo " in result.output


@pytest.mark.parametrize("command", ["discover", "scan", "read", "params", "virtual", "demo"])
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
        (["discover", "--no-discover"], "no proxy to use"),
        (["discover", "--proxy", "fe80::1"], "brackets"),
        (["discover", "--interface", "eth0"], "not an IP address"),
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
        (["demo", "--seed", "x"], "--seed"),
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
