"""The reference names everything there is, and nothing else."""

from __future__ import annotations

import ast
import re

import pytest

from proxyconn.errors import ErrorKind
from proxyconn_esphome import codes
from scripts.reference import GENERATORS, PLACE, filled
from tests.documents.blocks import ROOT
from tests.house.public_api import MODULES

CONFIGURATION = ROOT / "docs" / "reference" / "configuration.md"
PARSERS = (
    "proxyconn/cli/config_file.py",
    "backends/proxyconn_cluster/configuration.py",
    "backends/proxyconn_owner/settings.py",
)


def allowed(module: str) -> set[str]:
    """Return every name that a module allows in a table of the configuration."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    return {
        str(name.value)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "allow"
        for name in call.args
        if isinstance(name, ast.Constant)
    }


def test_every_name_of_the_configuration_is_told() -> None:
    """What a configuration may hold has its row, under the heading of its table."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    tables = set(re.findall(r"^## `\[+(\w+)\]+`", text, re.MULTILINE))
    assert rows | tables == set().union(*map(allowed, PARSERS))


def test_every_public_module_has_its_place() -> None:
    """Each module that users may import from stands on one page of the reference."""
    pages = (ROOT / "docs" / "reference" / "python").glob("*.md")
    text = "\n".join(filled(page.read_text(encoding="utf-8")) for page in pages)
    assert sorted(re.findall(r"^\.\. automodule:: (\S+)$", text, re.MULTILINE)) == sorted(MODULES)


def test_errors_and_codes_are_complete() -> None:
    """Every kind has its sentences, every number its name and kind."""
    kinds = GENERATORS["error-kinds"]("")
    assert [line.split("`")[1] for line in kinds.splitlines()[2:]] == [str(k) for k in ErrorKind]
    assert "|  |" not in kinds
    assert len({line.split("|")[2] for line in kinds.splitlines()[2:]}) == len(ErrorKind)
    assert "| `timeout` | No answer in time. |" in kinds
    costs = GENERATORS["costs"]("")
    assert "| `out_of_slots` | transient | 4 | `BleakOutOfConnectionSlotsError` |" in costs
    assert len(costs.splitlines()) == 2 + len(ErrorKind)
    states = GENERATORS["enum"]("proxyconn:RadioState")
    assert "| `denied` | Another client holds its one advertisement subscription. |" in states
    reasons = GENERATORS["codes"]("ConnectionReason")
    assert "| `62` | `0x3e` | `ESP_GATT_CONN_FAIL_ESTABLISH` | `establish_failed` |" in reasons
    assert len(reasons.splitlines()) == 2 + len(codes.ConnectionReason)


def test_commands_are_complete() -> None:
    """Commands of other packages are there too, with options and what may be left out."""
    text = GENERATORS["commands"]("")
    assert {"scan", "run", "virtual", "serve"} <= set(re.findall(r"^## (\w+)$", text, re.MULTILINE))
    assert "proxyconn write [OPTIONS] ADDR CHAR HEX" in text
    assert text.count("| `--config FILE` |") == 1
    assert "proxyconn cluster move [OPTIONS] PROXY OWNER" in text
    slots = text.partition("## slots")[2].partition("\n## ")[0]
    assert "(#options-of-the-fleet), but not" in slots
    assert "`--take`" in slots


def test_links_lead_somewhere() -> None:
    """What the README links to is there; Sphinx looks after the links of the other documents."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).is_file()] == []


@pytest.mark.parametrize("text", ["<!-- generated: nothing -->", "<!-- generated: modules os -->"])
def test_what_cannot_be_generated_is_an_error(text: str) -> None:
    """A misspelled place does not stay empty."""
    assert PLACE.search(text)
    with pytest.raises((KeyError, ValueError)):
        filled(text)
