#!/usr/bin/env python3
"""Usage: layers.py [--check]   Draw the layers of pyproject.toml into docs/ARCHITECTURE.md."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "ARCHITECTURE.md"
BEGIN = "<!-- layers: drawn by scripts/layers.py -->\n"
END = "<!-- end of layers -->\n"


def drawn() -> str:
    """Return every contract of layers as a block of text: what stands higher imports downwards."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines: list[str] = []
    for contract in config["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers" and "containers" in contract:
            lines.append(contract["containers"][0])
            lines += ("  " + layer.replace(" | ", "   ") for layer in contract["layers"])
            lines.append("")
    return "```text\n" + "\n".join(lines).rstrip() + "\n```\n"


def main() -> int:
    """Write the page, or with --check say whether it is current."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    new = before + BEGIN + drawn() + END + after
    if "--check" in sys.argv[1:]:
        if new != text:
            print(f"{PAGE.relative_to(ROOT)} is not current: run scripts/layers.py")
        return int(new != text)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
