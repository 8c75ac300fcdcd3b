"""`proxyconn diagnostics`: one archive for whoever is to help, without keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxyconn.cli.errors import BAD_USAGE, CommandFailedError, fail
from proxyconn.cli.fleet_session import Settings
from proxyconn.cli.options import fleet_command
from proxyconn.cli.output import confirm, safe, stderr, stdout

if TYPE_CHECKING:
    from proxyconn.cli.archive.contents import Item


Output = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The archive, a new file; else one named by the time."),
]
Logs = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="A log to put in too; may be repeated.",
        exists=True,
        dir_okay=False,
        readable=True,
    ),
]
HashAddresses = Annotated[
    bool, typer.Option("--hash-addresses", help="Replace MAC and IP addresses by hashes.")
]
HashNames = Annotated[
    bool, typer.Option("--hash-names", help="Replace names of proxies and hosts by hashes.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Write it without asking.")]


@fleet_command
async def diagnostics(
    settings: Settings,
    *,
    output: Output = None,
    log: Logs = None,
    hash_addresses: HashAddresses = False,
    hash_names: HashNames = False,
    yes: Yes = False,
) -> None:
    """Write an archive for whoever is to help: findings, snapshot, versions, configuration, log.

    Keys and passwords are removed. What is in it is listed before it is written. Only looks, as
    `doctor` does.
    """
    # Not before it is asked for: the start of every other command would be slower.
    from proxyconn.cli.archive import zip_file

    path = output or Path(time.strftime("proxyconn-diagnostics-%Y%m%d-%H%M%S.zip"))
    await asyncio.to_thread(_check, path)
    items = await _clean(settings, log or (), hash_addresses=hash_addresses, hash_names=hash_names)
    _list(items)
    stdout().print(_removed(hash_addresses=hash_addresses, hash_names=hash_names))
    if not (yes or await confirm(f"Write {path}?")):
        raise CommandFailedError("nothing was written; --yes writes it without asking")
    try:
        await asyncio.to_thread(zip_file.write, path, items)
    except FileExistsError:
        raise CommandFailedError(f"{path} is there already") from None
    stderr().print(f"Written: {safe(str(path))}", soft_wrap=True)


def _check(path: Path) -> None:
    """Raise CommandFailedError or typer.Exit if the archive could not be written there. Blocks."""
    from proxyconn.cli.archive import zip_file

    try:
        zip_file.try_out(path)
    except FileExistsError:
        raise CommandFailedError(
            f"{path} is there already; choose another file with --output"
        ) from None
    except OSError as exc:
        raise fail(f"--output: {path} cannot be written: {exc.strerror}", BAD_USAGE) from None


async def _clean(
    settings: Settings, logs: Iterable[Path], *, hash_addresses: bool, hash_names: bool
) -> list[Item]:
    """Look at the fleet; return what is to be in the archive, without secrets."""
    from proxyconn.cli.archive import contents
    from proxyconn.cli.archive.redaction import Redaction
    from proxyconn.cli.examination.examine import examine

    with contents.captured_log(shown=settings.verbose > 0) as lines:
        found, snapshot = await examine(settings)
    raw = await asyncio.to_thread(
        contents.gathered, settings, found, snapshot, "\n".join([*lines, ""]), logs
    )
    clean = Redaction(
        contents.secrets_of(settings),
        [item.text for item in raw],
        addresses=hash_addresses,
        names=contents.names_of(settings, snapshot) if hash_names else (),
        home=str(Path.home()),
    )
    return [replace(item, what=clean(item.what), text=clean(item.text)) for item in raw]


def _list(items: Iterable[Item]) -> None:
    from proxyconn.cli.display.tables import table

    listed = table("File", "Bytes>", "What")
    for item in items:
        listed.add_row(safe(item.name), f"{len(item.text.encode()):,}", safe(item.what))
    stdout().print(listed)


def _removed(*, hash_addresses: bool, hash_names: bool) -> str:
    hashed = [*(["addresses"] * hash_addresses), *(["names"] * hash_names)]
    return "Keys and passwords are removed" + (
        f", {' and '.join(hashed)} are hashed." if hashed else "; addresses and names are in it."
    )
