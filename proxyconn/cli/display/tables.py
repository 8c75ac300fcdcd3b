"""Rows as tables and trees for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from proxyconn.att import BASE_UUID_TAIL
from proxyconn.cli.display.rows import Row
from proxyconn.cli.output import printable, safe

COLUMNS_OF_PROXIES = 4
"""Proxies that get a column of their own; more share one."""

FRAME = 4
"""Lines of a table that are no rows: header, rule, and a blank one at either end."""

LOUD, FAINT = -65, -80
"""dBm between which a signal is fair."""

_STATE_STYLES = {"ready": "green", "connecting": "yellow", "silent": "yellow"}


def table(*columns: str) -> Table:
    """Return an empty table; a column whose name ends in `>` is aligned to the right."""
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        right = column.endswith(">")
        made.add_column(column.rstrip(">"), justify="right" if right else "left", overflow="fold")
    return made


def proxies_table(rows: Sequence[Row]) -> Table:
    """Return a table of proxies: name, host, firmware, state, scan mode if known, and slots."""
    told = any(row["scan_mode"] for row in rows)
    made = table("Proxy", "Host", "Firmware", "State", *(["Scan"] if told else []), "Slots free>")
    made.columns[1].no_wrap = True
    for row in rows:
        made.add_row(
            safe(row["name"]),
            safe(_host(row)),
            safe(row["firmware"] or "-"),
            _state(row["state"]),
            *([scan_text(row)] if told else []),
            _free(row),
        )
    return made


def _host(row: Row) -> str:
    host, port = row["host"], row["port"]
    if host is None:
        return "-"
    if port is None:
        return f"{host} (calls)"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def scan_text(row: Row) -> str:
    """Return how a proxy scans, and how it is configured to if that is another mode."""
    mode, configured = row["scan_mode"], row["configured_scan_mode"]
    return f"{mode or '-'} (YAML: {configured})" if configured not in (None, mode) else mode or "-"


def _state(state: str) -> str:
    return f"[{_STATE_STYLES.get(state, 'red')}]{state}[/]"


def _free(row: Row) -> str:
    if slots := row["slots"]:
        return f"{slots['free']}/{slots['limit']}"
    return "-" if row["connectable"] or row["state"] != "ready" else "listens only"


def devices_table(rows: Sequence[Row], sources: Sequence[str], *, fit: bool = False) -> Table:
    """Return a table of devices, the loudest first, with RSSI in dBm for each of `sources`.

    If it has to fit on a screen, each device takes one line, cut off where that ends.
    """
    own = len(sources) <= COLUMNS_OF_PROXIES
    columns = [f"{safe(source)}>" for source in sources] if own else ["Heard by"]
    made = table("Device", "Address", "dBm>", *columns, "Age>")
    made.columns[1].no_wrap = True
    for row in sorted(rows, key=lambda row: -row["rssi"]):
        by_source = {path["source"]: path["rssi"] for path in row["paths"]}
        shown = (
            [_rssi(by_source.get(source)) for source in sources]
            if own
            else [_cell(", ".join(f"{name} {rssi}" for name, rssi in by_source.items()), fit)]
        )
        made.add_row(
            _cell(row["name"] or "-", fit),
            row["address"],
            _rssi(row["rssi"]),
            *shown,
            f"{row['age']:.0f} s",
        )
    return made


def loudest(
    rows: Sequence[Row], notes: Sequence[str], to: Console
) -> tuple[Sequence[Row], Sequence[str]]:
    """Return the rows of devices that fit on a screen above the notes, and the notes.

    How many were left out is the first note then.
    """
    room = to.height - FRAME - sum(len(note) // to.width + 1 for note in notes)
    if len(rows) <= room:
        return rows, notes
    kept = sorted(rows, key=lambda row: -row["rssi"])[: max(room - 1, 1)]
    return kept, [f"and {len(rows) - len(kept)} that are not as loud", *notes]


def _cell(text: str, fit: bool) -> Text:
    """Return text for a cell; if it has to fit, it is cut off rather than wrapped."""
    return Text(printable(text), no_wrap=fit, overflow="ellipsis" if fit else None)


def _rssi(rssi: int | None) -> str:
    if rssi is None:
        return "[dim]-[/]"
    style = "green" if rssi >= LOUD else "yellow" if rssi >= FAINT else "red"
    return f"[{style}]{rssi}[/]"


def slots_table(rows: Sequence[Row], name_of: Callable[[str], str | None], to: Console) -> Table:
    """Return a table of connection slots as cells, with their holders' names and addresses."""
    taken, free = ("#", ".") if to.options.ascii_only else ("■", "□")
    made = table("Proxy", "State", "Slots", "Free>", "Held by")
    for row in rows:
        slots = row["slots"]
        if slots is None:
            made.add_row(
                safe(row["name"]), _state(row["state"]), "-", "-", "[dim]no slots reported[/]"
            )
            continue
        used = slots["limit"] - slots["free"]
        cells = [f"[cyan]{taken}[/]"] * used + [f"[dim]{free}[/]"] * slots["free"]
        holders = [_holder(address, name_of(address)) for address in slots["allocated"]]
        made.add_row(
            safe(row["name"]),
            _state(row["state"]),
            " ".join(cells),
            f"{slots['free']}/{slots['limit']}",
            "\n".join(holders) or "[dim]nobody[/]",
        )
    return made


def paths_table(rows: Sequence[Row]) -> Table:
    """Return a table of the paths to a device, best first, each with the parts of its score."""
    made = table("", "Radio", "State", "Slots free>", "Heard>", "dBm>", "Score>", "Made of")
    for number, row in enumerate(rows):
        chosen = number == 0 and row["usable"]
        parts = [f"{name} {db:+.0f}" for name, db in row["parts"].items() if name != "signal"]
        made.add_row(
            "[green]→[/]" if chosen else "",
            safe(row["source"]),
            _state(row["state"]),
            "-" if row["slots"] is None else f"{row['free']}/{row['slots']}",
            "never" if row["age"] is None else f"{row['age']:.0f} s ago",
            _rssi(row["rssi"]),
            f"{row['score']:.0f}" if row["usable"] else "-",
            f"[red]{row['obstacle']}[/]" if row["obstacle"] else ", ".join(parts) or "signal only",
        )
    return made


def _holder(address: str, name: str | None) -> str:
    return f"{address}  {safe(name)}" if name else address


def services_tree(title: str, rows: Sequence[Row]) -> Tree:
    """Return a GATT table as a tree of services, characteristics and descriptors."""
    tree = Tree(f"[bold]{safe(title)}[/]")
    for service in rows:
        branch = tree.add(_attribute(service, "bold cyan"))
        for characteristic in service["characteristics"]:
            properties = ", ".join(characteristic["properties"])
            leaf = branch.add(f"{_attribute(characteristic, 'bold')}  [green]{properties}[/]")
            for descriptor in characteristic["descriptors"]:
                leaf.add(f"[dim]{_attribute(descriptor, 'none')}[/]")
    return tree


def _attribute(row: Row, style: str) -> str:
    return (
        f"[dim]{row['handle']:>3}[/]  [{style}]{safe(row['name'])}[/]  "
        f"[dim]{short_uuid(row['uuid'])}[/]"
    )


def short_uuid(uuid: str) -> str:
    """Return a UUID with four digits if it has no more than that to say."""
    if uuid.startswith("0000") and uuid.endswith(BASE_UUID_TAIL):
        return uuid[4:8]
    return uuid
