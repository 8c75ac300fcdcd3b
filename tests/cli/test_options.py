"""Options that commands share, and keys."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import typer

from proxyconn import InvalidKeyError
from proxyconn.cli.commands.gatt import parse_characteristic, parse_hex
from proxyconn.cli.option_types import parse_address, parse_proxy
from proxyconn.cli.options import fleet_settings, load_config
from proxyconn.radio import Proxy

PROMPTED, CONFIGURED, NAMED, OWN, ENVIRONMENT = (
    f"{letter * 43}=" for letter in ("A", "E", "I", "M", "Q")
)
BASE = "-0000-1000-8000-00805f9b34fb"


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("10.0.0.7", Proxy("10.0.0.7", 6053)),
        ("kitchen.local:6054", Proxy("kitchen.local", 6054)),
        ("[fe80::1]", Proxy("fe80::1", 6053)),
        ("[::1]:1", Proxy("::1", 1)),
    ],
)
def test_proxy_option(text: str, proxy: Proxy) -> None:
    """A proxy is a host, with or without a port; IPv6 stands in brackets."""
    assert parse_proxy(text) == proxy


@pytest.mark.parametrize(
    "text", ["", ":6053", "fe80::1", "[fe80::1", "[kitchen]", "a:0", "a:65536", "a:b", "a:1:2"]
)
def test_proxy_option_wrong(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(typer.BadParameter):
        parse_proxy(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("c4:00:00:00:00:01", "C4:00:00:00:00:01"),
        ("C4-00-00-00-00-0a", "C4:00:00:00:00:0A"),
        ("Front door lock", "Front door lock"),
        ("kitchen-lamp", "kitchen-lamp"),
        ("A:1", "A:1"),
    ],
)
def test_address(text: str, address: str) -> None:
    """A device is named by its address, in any case, or by its name."""
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "C4:00:00:00:00", "C4:00:00:00:00:01:02", "ZZ:00:00:00:00:01", "C4-00-00-00-00-0G"]
)
def test_address_wrong(text: str) -> None:
    """What looks like an address and is none is not taken for a name."""
    with pytest.raises(typer.BadParameter, match="neither"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2A19", f"00002a19{BASE}"),
        ("12345678", f"12345678{BASE}"),
        ("6D1F0002-52A7-4F3C-9D0A-0A7C1F6E2B10", "6d1f0002-52a7-4f3c-9d0a-0a7c1f6e2b10"),
        ("16", 16),
        ("0x0010", 16),
        ("0x1234", 0x1234),
    ],
)
def test_characteristic(text: str, wanted: str | int) -> None:
    """A characteristic is named by its UUID, short or long, or by its handle."""
    assert parse_characteristic(text) == wanted


@pytest.mark.parametrize("text", ["", "xyz", "2a1", "0x12345", "2a19-0000"])
def test_characteristic_wrong(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(typer.BadParameter):
        parse_characteristic(text)


@pytest.mark.parametrize("text", ["01ff", "0x01FF", "01:ff", "01 ff", "01-ff"])
def test_hex(text: str) -> None:
    """Bytes are two digits each, however they are set apart."""
    assert parse_hex(text) == b"\x01\xff"


@pytest.mark.parametrize("text", ["0", "0g", "012"])
def test_hex_wrong(text: str) -> None:
    """Half a byte, or no digits, are refused."""
    with pytest.raises(typer.BadParameter, match="not hexadecimal"):
        parse_hex(text)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a configuration with keys in every place; one more is in the environment."""
    monkeypatch.setenv("PROXYCONN_KEY", ENVIRONMENT)
    file = tmp_path / "config.toml"
    file.touch(mode=0o600)
    file.write_text(
        f'key = "{CONFIGURED}"\n[keys]\nattic = "{NAMED}"\n'
        f'[[proxy]]\nhost = "a"\nkey = "{OWN}"\n[[proxy]]\nhost = "b"\nname = "attic"\n'
    )
    return file


def test_keys_configured(file: Path) -> None:
    """A proxy's own key comes first, then that of its name, then that of all, then the variable."""
    settings = fleet_settings(config=file, proxy=[Proxy("c")])
    assert [proxy.noise_psk for proxy in settings.proxies] == [CONFIGURED, OWN, NAMED]
    assert not isinstance(settings.noise_psk, str | None)
    assert settings.noise_psk.get("attic") == NAMED
    assert settings.noise_psk.get("cellar") == CONFIGURED
    file.write_text("")
    settings = fleet_settings(config=file, proxy=[Proxy("c")])
    assert [proxy.noise_psk for proxy in settings.proxies] == [ENVIRONMENT]


def test_keys_prompted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was asked for stands above every other, and is read from a pipe too."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PROMPTED}\n"))
    settings = fleet_settings(config=file, key=True)
    assert {proxy.noise_psk for proxy in settings.proxies} == {PROMPTED}
    assert not isinstance(settings.noise_psk, str | None)
    assert settings.noise_psk.get("attic") == PROMPTED


def test_keys_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed key is refused, with its source and without itself."""
    monkeypatch.setenv("PROXYCONN_KEY", "not a key")
    (tmp_path / "config.toml").touch()
    with pytest.raises(InvalidKeyError, match="PROXYCONN_KEY") as caught:
        fleet_settings(config=tmp_path / "config.toml")
    assert "not a key" not in str(caught.value)


def test_config_readable_by_others(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file with keys that others can read is warned about, and only such a one."""
    load_config(file)
    assert capsys.readouterr().err == ""
    file.chmod(0o640)
    load_config(file)
    assert "chmod 600" in capsys.readouterr().err
    file.write_text("discover = true")
    load_config(file)
    assert capsys.readouterr().err == ""
