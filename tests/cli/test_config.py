"""The configuration file."""

from __future__ import annotations

import pytest

from proxyconn import ScanMode
from proxyconn.cli.config_file import Config, ConfigError, parse_config
from proxyconn.radio import Proxy

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER = "HxseHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE="


def test_config_empty() -> None:
    """An empty file asks for discovery and names nothing."""
    assert parse_config("", "x.toml") == Config()
    assert parse_config("", "x.toml").discover
    assert not parse_config("", "x.toml").has_keys


def test_config_full() -> None:
    """Every value there can be is taken over."""
    text = f"""
    discover = false
    scan = "auto"
    key = "{KEY}"
    [keys]
    attic = "{OTHER}"
    [[proxy]]
    host = "10.0.0.7"
    port = 6054
    key = "{OTHER}"
    name = "kitchen"
    [[proxy]]
    host = "fe80::1"
    scan = "passive"
    """
    config = parse_config(text, "x.toml")
    assert not config.discover
    assert config.key == KEY
    assert config.keys == {"attic": OTHER}
    assert config.proxies == (
        Proxy("10.0.0.7", 6054, OTHER, "kitchen"),
        Proxy("fe80::1", 6053, None, None),
    )
    assert config.scan is ScanMode.AUTO
    assert [proxy.scan for proxy in config.proxies] == [None, ScanMode.PASSIVE]
    assert config.has_keys
    assert KEY not in repr(config)
    assert OTHER not in repr(config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("discovr = true", ["discovr", "unknown", "did you mean discover?"]),
        ("zzz = 1", ["zzz", "known here: discover, key, keys, proxy"]),
        ("discover = 1", ["discover must be true or false"]),
        ("key = 7", ["key must be an encryption key in quotes"]),
        ('key = "short"', ["encryption key for key", "base64 of 32 bytes"]),
        ('[keys]\nattic = "c2hvcnQ="', ["encryption key for keys: attic", "base64 of 32 bytes"]),
        ("keys = 3", ["keys must be a table"]),
        ("scan = true", ['scan must be "active", "passive" or "auto"']),
        ('[[proxy]]\nhost = "a"\nscan = "fast"', ['proxy 1: scan must be "active", "passive"']),
        ("[proxy]\nhost = 1", ["proxy must be a list of tables, each under [[proxy]]"]),
        ("proxy = [1]", ["proxy must be a list of tables, each under [[proxy]]"]),
        ("[[proxy]]\nport = 1", ["proxy 1: host is missing"]),
        ('[[proxy]]\nhost = "a"\nport = 0', ["proxy 1: port must be 1 to 65535, not 0"]),
        ('[[proxy]]\nhost = "a"\nport = true', ["proxy 1: port must be a TCP port"]),
        ('[[proxy]]\nhost = "a"\n[[proxy]]\nhots = "b"', ["proxy 2: hots", "did you mean host?"]),
        ('[[proxy]]\nhost = "a"\nkey = "x"', ["proxy 1: key", "base64 of 32 bytes"]),
        ("discover = tru", ["not valid TOML", "line 1"]),
    ],
)
def test_config_wrong(text: str, words: list[str]) -> None:
    """What cannot be meant so is refused, with the file, the place and what to do."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "x.toml")
    assert str(caught.value).startswith("x.toml: ")
    for word in words:
        assert word in str(caught.value)


def test_config_wrong_key_is_not_told() -> None:
    """A key that is refused does not stand in the error, nor in what caused it."""
    with pytest.raises(ConfigError) as caught:
        parse_config('key = "my secret"', "x.toml")
    error: BaseException | None = caught.value
    while error is not None:
        assert "secret" not in repr(error)
        error = error.__cause__
