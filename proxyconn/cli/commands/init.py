"""`proxyconn init`: finds proxies, asks for their keys, tries them and writes the configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from proxyconn.cli.config_file import ConfigError
from proxyconn.cli.errors import BAD_USAGE, INTERRUPTED, describe, fail
from proxyconn.cli.fleet_session import Settings
from proxyconn.cli.logs import set_up_logging
from proxyconn.cli.option_types import parse_proxy
from proxyconn.cli.options import settings_command
from proxyconn.cli.output import printable, safe, stderr

if TYPE_CHECKING:
    from proxyconn.cli.setup.found_proxies import FoundProxy


def _init(settings: Settings) -> None:
    """Find proxies, ask for their keys, try each, and write the configuration.

    Only looks: no other client of a proxy notices. What the configuration says already stays; it
    is shown, without keys, and written only when you say so, for you alone to read.
    """
    from proxyconn.cli.setup.dialogue import Dialogue

    set_up_logging(verbose=settings.verbose)
    if not (sys.stdin.isatty() and stderr().is_terminal):
        raise fail(
            "init asks questions: run it on a terminal, or write the configuration by hand",
            BAD_USAGE,
        )
    assert settings.file is not None
    try:
        _write(settings.file, Dialogue(settings, parse_proxy).proxies())
    except ConfigError as exc:
        raise fail(describe(exc), BAD_USAGE) from None
    except OSError as exc:
        raise fail(f"{settings.file}: {exc.strerror or exc}") from None
    except typer.Abort:
        raise typer.Exit(INTERRUPTED) from None


def _write(file: Path, proxies: list[FoundProxy]) -> None:
    from proxyconn.cli.setup.configuration import configured, read, without_secrets, write

    before = read(file)
    after = configured(before, str(file), proxies)
    shown = printable_lines(without_secrets(after))
    typer.echo(f"\n{shown}")
    if not proxies:
        raise fail("no proxy was opened, so nothing is written")
    if before == after:
        typer.echo(f"{printable(str(file))} says all that already.", err=True)
        return
    what = "Change" if before else "Write"
    if not typer.confirm(f"{what} {printable(str(file))}?", err=True):
        raise fail("nothing was written")
    write(file, after, instead_of=before)
    stderr().print(f"Written. Try: proxyconn scan{_option(file)}", soft_wrap=True)


def printable_lines(text: str) -> str:
    """Return lines with everything that could steer a terminal replaced."""
    return "\n".join(map(printable, text.split("\n")))


def _option(file: Path) -> str:
    from proxyconn.cli.options import config_path

    return "" if file == config_path(None) else f" --config {safe(str(file))}"


init = settings_command(
    _init, without=frozenset({"take", "adapter", "listen", "no_owner", "scan"}), must_exist=False
)
