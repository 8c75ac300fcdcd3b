"""Writing the archive, which its user alone can read and which replaces nothing."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

from proxyconn.cli.archive.contents import Item


def try_out(path: Path) -> None:
    """Find out whether an archive can be made, and leave nothing. Raises what `write` does."""
    os.close(_new(path))
    path.unlink()


def write(path: Path, items: Iterable[Item]) -> None:
    """Write an archive. Raises FileExistsError if there is such a file, else OSError."""
    number = _new(path)
    try:
        with (
            open(number, "wb") as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for item in items:
                archive.writestr(f"{path.stem}/{item.name}", item.text)
    except BaseException:
        path.unlink()
        raise


def _new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
