"""What the documents say of numbers and of systemd's units is what the code relies on."""

from __future__ import annotations

import re

import pytest

from proxyconn_esphome.session.proxy_reports import MOST_HOLDERS
from tests.documents.blocks import ROOT, documents

DOCUMENTS = {str(path.relative_to(ROOT)): path for path in documents()}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_runtime_folders_of_units_are_private(name: str) -> None:
    """The folder of the owner's socket is its user's alone; systemd makes it 0755 by itself."""
    text = DOCUMENTS[name].read_text(encoding="utf-8")
    folders = re.findall("^RuntimeDirectory=.*$", text, re.MULTILINE)
    assert len(folders) == len(re.findall("^RuntimeDirectoryMode=0700$", text, re.MULTILINE))


def test_slot_holders_that_are_kept() -> None:
    """The bound that the page on security names is the one that is held."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    assert f"| slot holders in one report | {MOST_HOLDERS:,};" in text
