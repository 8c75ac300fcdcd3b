"""The files of the page, as they are sent."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

FOLDER: Final = "page"

CONTENT_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def page_files() -> dict[str, tuple[bytes, str]]:
    """Read the page: path -> bytes and content type."""
    found: dict[str, tuple[bytes, str]] = {}

    def read(folder: Traversable, path: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                read(entry, f"{path}{entry.name}/")
            elif kind := CONTENT_TYPES.get(entry.name.rpartition(".")[2]):
                found[path + entry.name] = (entry.read_bytes(), kind)

    read(files(__package__) / FOLDER, f"/{FOLDER}/")
    found["/"] = found[f"/{FOLDER}/index.html"]
    return found
