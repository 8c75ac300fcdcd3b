"""The options of `proxyconn virtual` that inject faults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import typer
from rich import box
from rich.table import Table

from proxyconn_virtual.fault_catalogue import CATALOGUE, Fault, find_fault
from proxyconn_virtual.firmware.profiles import KNOWN
from proxyconn_virtual.firmware.profiles import profile as find_profile
from proxyconn_virtual.named_faults.model import FaultError
from proxyconn_virtual.proxy import VirtualProxy

SYNTAX: Final = "NAME[=ARG][@PROXY]"

_OPTION: Final = re.compile(r"(?P<name>[^=@]+)(?:=(?P<argument>[^@]+))?(?:@(?P<proxy>.+))?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A fault that was asked for, of one proxy or of all (None)."""

    fault: Fault
    argument: str | None
    proxy: str | None

    def switch_on(self, proxies: Mapping[str, VirtualProxy], seed: int) -> None:
        """Switch it on, for good. Raises FaultError."""
        for name, proxy in proxies.items():
            if self.proxy in (None, name):
                proxy.inject(self.fault.name, self.argument, seed=seed)


def parse_faults(
    options: Sequence[str], names: Sequence[str], *, profile: str, plaintext: bool
) -> list[Wanted]:
    """Return the faults of `--fault` options. Raises typer.BadParameter."""
    return [_parse(option, names, profile=profile, plaintext=plaintext) for option in options]


def _parse(option: str, names: Sequence[str], *, profile: str, plaintext: bool) -> Wanted:
    match = _OPTION.fullmatch(option)
    if match is None:
        raise typer.BadParameter(f"{option!r} is not {SYNTAX}", param_hint="--fault")
    proxy = match["proxy"]
    try:
        fault = find_fault(match["name"])
        fault.parse(match["argument"])
        fault.check(find_profile(profile), encrypted=not plaintext)
    except FaultError as error:
        raise typer.BadParameter(str(error), param_hint="--fault") from None
    if proxy is not None and proxy not in names:
        raise typer.BadParameter(
            f"no proxy {proxy!r}; there are: {', '.join(names)}", param_hint="--fault"
        )
    return Wanted(fault, match["argument"], proxy)


def faults_table() -> Table:
    """Return the catalogue, for people."""
    table = Table("Fault", "What goes wrong", box=box.SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for fault in CATALOGUE.values():
        argument = fault.argument
        table.add_row(
            fault.name if argument is None else f"{fault.name}\\[={argument.kind.value}]",
            " ".join((fault.text, *_details(fault))),
        )
    return table


def _details(fault: Fault) -> Iterator[str]:
    argument = fault.argument
    if argument is not None:
        value = argument.default
        text = f"{value:g}" if isinstance(value, float) else str(value)
        default = "" if value is None else f"; {text} without it"
        yield f"[dim]{argument.kind.value}: {argument.text}{default}.[/]"
    if len(fault.profiles) < len(KNOWN):
        yield f"[dim]Only in {', '.join(fault.profiles)}.[/]"
