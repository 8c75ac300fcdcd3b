"""What fuzzing files, options and mDNS has found, each as a test of its own."""

from __future__ import annotations

import pytest
import typer

from proxyconn.cli.commands.gatt import parse_characteristic
from proxyconn.cli.config_file import ConfigError, parse_config
from proxyconn.cli.option_types import parse_interface

from .mdns_target import fuzz_mdns


@pytest.mark.parametrize(
    "text", ["x = " + "9" * 5000, "x = " + "[" * 5000, "x" + ".x" * 5000 + " = 1"]
)
def test_configuration_that_is_too_much_for_the_reader(text: str) -> None:
    """Endless numbers and brackets are errors of the file, not of ours."""
    with pytest.raises(ConfigError, match=r"^x\.toml: "):
        parse_config(text, "x.toml")


def test_handle_with_leading_zeros() -> None:
    """It was an error of Python's, whose own numbers have none."""
    assert parse_characteristic("01") == 1
    assert parse_characteristic("0x10") == 16


def test_interface_whose_zone_is_nonsense() -> None:
    """An IPv6 address may end in any text, which no resolver has to take."""
    with pytest.raises(typer.BadParameter, match="no interface of this machine"):
        parse_interface("::1%" + "\udcff" * 80)


def test_service_whose_name_is_none() -> None:
    """A control character in an announced name ended a task with an error nobody took."""
    fuzz_mdns(bytes.fromhex("fc f9 a4 4d c7 16 69 1a"))
