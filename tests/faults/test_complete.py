"""No fault is without a test of what the client makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxyconn_virtual.fault_catalogue import FaultName


@pytest.mark.parametrize("name", FaultName)
def test_every_fault_is_survived(name: FaultName) -> None:
    """Some test opens a home with the fault, in every firmware that has it."""
    modules = Path(__file__).parent.glob("test_*.py")
    source = "".join(module.read_text(encoding="utf-8") for module in modules)
    opened = (f"@in_profiles(Name.{name.name}", f"[Name.{name.name}, ", f"(Name.{name.name}, ")
    assert any(text in source for text in (*opened, f", Name.{name.name}]"))
