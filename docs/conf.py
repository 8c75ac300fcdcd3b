"""The documentation as a site; `scripts/docs` builds it.

What the code knows by itself, such as commands and codes, `scripts/reference.py` writes into the
pages.
"""

from __future__ import annotations

import re
import sys
from enum import Enum
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.logging import getLogger

logger = getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

project = "proxyconn"
author = "the proxyconn authors"
version = release = installed("proxyconn")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"proxyconn {release}"
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

default_role = "py:obj"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False

INVENTORIES = ROOT / ".cache" / "inventories"
OTHERS = {
    "python": "https://docs.python.org/3",
    "bleak": "https://bleak.readthedocs.io/en/stable",
}


def inventories() -> dict[str, tuple[str, str]]:
    """Return the other sites that names are looked up at.

    A machine without internet builds the same pages, without links to sites it has never seen.
    """
    INVENTORIES.mkdir(parents=True, exist_ok=True)
    known = {}
    for name, site in OTHERS.items():
        file = INVENTORIES / f"{name}.inv"
        if not file.exists():
            try:
                with urlopen(f"{site}/objects.inv", timeout=5) as answer:
                    file.write_bytes(answer.read())
            except OSError as exc:
                logger.info("no links to %s: %s", site, exc)
                break
        known[name] = (site, str(file))
    return known


intersphinx_mapping = inventories()


PAGES = re.compile(r"^<!-- pages: (.+) -->$", re.MULTILINE)
"""In a table of contents: those of these pages that there are; `*` for every one left over."""


PICTURE = re.compile(
    r"^<!-- screenshot: (\w+) -->\n(```text\n.*?\n```\n)?", re.MULTILINE | re.DOTALL
)
"""Where a picture goes in the place of a text, if `scripts/docs --screenshots` has taken it."""


def pictured(found: re.Match[str]) -> str:
    """Return a picture of what a command shows, or else the text that stands there."""
    if not (Path(__file__).parent / "screenshots" / f"{found[1]}.svg").exists():
        return found[0]
    return f"![What proxyconn {found[1]} shows](/screenshots/{found[1]}.svg)\n"


def listed(text: str, asked: str) -> str:
    """Return the names of pages beside the index, a line each."""
    there = sorted(page.stem for page in Path(__file__).parent.glob("*.md"))
    if asked == "*":
        return "\n".join(one for one in there if one != "index" and one not in text)
    return "\n".join(one for one in asked.split() if one in there)


def fill_in(app: Sphinx, page: str, source: list[str]) -> None:
    """Write what is generated into a page, before it is read."""
    from scripts.reference import filled

    text = filled(source[0])
    text = PAGES.sub(lambda found: listed(text, found[1]), text)
    source[0] = PICTURE.sub(pictured, text)


QUOTED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def read_docstring(app: Sphinx, what: str, name: str, obj: object, *more: Any) -> None:
    """Show what stands in backticks and cannot be a name, such as `<proxy>`, as it is."""
    lines = more[-1]
    lines[:] = [QUOTED.sub(_name_or_text, line) for line in lines]


def _name_or_text(found: re.Match[str]) -> str:
    is_name = all(part.isidentifier() for part in found[1].split("."))
    return found[0] if is_name else f"``{found[1]}``"


def skip_member(app: Sphinx, what: str, name: str, obj: object, *more: Any) -> bool | None:
    """Keep the members of enums, though most of them need no docstring."""
    return False if isinstance(obj, Enum) and not name.startswith("_") else None


def outdated(app: Sphinx, env: BuildEnvironment, *more: Any) -> list[str]:
    """Return pages to read again though their text is the same: what is generated may not be."""
    return [page for page in env.found_docs if page == "index" or page.startswith("reference/")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx what is ours."""
    app.connect("source-read", fill_in)
    app.connect("env-get-outdated", outdated)
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("autodoc-skip-member", skip_member)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
