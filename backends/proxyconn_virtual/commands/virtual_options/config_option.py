"""The option `--write-config`: the file with which other commands use a virtual fleet."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from proxyconn_native_api.dialling import OutgoingConnection
from proxyconn_virtual.fleet import VirtualFleet


@contextmanager
def config_file(wanted: Path | None) -> Iterator[tuple[Callable[[str], None], Path]]:
    """Make a new file for its owner only; one that was not written, or not asked for, goes again.

    Raises:
        typer.BadParameter: it is there already, or cannot be made.
    """
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="proxyconn-") as folder:
            file = Path(folder) / "virtual.toml"
            yield _writer(file), file
        return
    write = _writer(wanted)
    try:
        yield write, wanted
    finally:
        if not wanted.stat().st_size:
            wanted.unlink()


def _writer(file: Path) -> Callable[[str], None]:
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise typer.BadParameter(
            f"{file} is there already and is not overwritten; remove it, or name another"
        ) from None
    except OSError as exc:
        raise typer.BadParameter(f"{file} cannot be made: {exc.strerror}") from None

    def write(text: str) -> None:
        file.write_text(text, encoding="utf-8")

    return write


def config_text(fleet: VirtualFleet, dial: OutgoingConnection | None) -> str:
    lines = ["# Proxies of `proxyconn virtual`; of no use once it has ended.", "discover = false"]
    if dial:
        lines += [f"listen = {dial.port}", "", "[keys]"]
        lines += [f'"{proxy.mac}" = "{proxy.noise_psk}"' for proxy in fleet.proxies.values()]
        return "\n".join(lines) + "\n"
    for proxy in fleet.proxies.values():
        lines += ["", "[[proxy]]", f"name = {json.dumps(proxy.name)}"]
        lines += [f"host = {json.dumps(proxy.host)}", f"port = {proxy.port}"]
        if proxy.noise_psk:
            lines.append(f"key = {json.dumps(proxy.noise_psk)}")
    return "\n".join(lines) + "\n"
