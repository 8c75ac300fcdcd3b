"""What each page shows, as rows: the state of a fleet in, cells out. Knows no screen."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from rich.text import Text

from proxyconn.watch.rows import Row
from proxyconn_top.cells import ago, lasting, plain, signal, slot_cells, state
from proxyconn_web.client import View

RADIO_COLUMNS: Final = ("Radio", "State", "Slots", "Heard", "Firmware", "Problem")
ALARM_COLUMNS: Final = ("Alarm", "Radio", "Device", "For", "What it means")
OWNED_COLUMNS: Final = ("Radio", "Owner", "State", "Slots", "Heard", "Firmware", "Problem")
"""Those of radios, in a cluster."""

OWNER_COLUMNS: Final = ("Owner", "Site", "Radios", "Links", "Slots", "Heard", "")
LINK_COLUMNS: Final = ("Device", "Name", "Radio", "State", "For", "Client")
DEVICE_COLUMNS: Final = ("Device", "Name")
LOG_COLUMNS: Final = ("Time", "What", "Radio", "Device", "Text", "Client")
PATH_COLUMNS: Final = ("Radio", "Score", "RSSI", "Age", "Free", "Failures", "Obstacle", "Parts")

MOST_DEVICES: Final = 500
"""Rows of the matrix: the devices that are heard best, of those that are looked for."""

MOST_LOG: Final = 200
"""Rows of the log."""

MOST_CONNECTS: Final = 5
"""Wishes for a link that the page of a device shows."""

UNHEARD: Final = -1000
"""Sorts devices without a signal behind all others."""


def radio_columns(view: View) -> tuple[str, ...]:
    """Return the headings of the radios: in a cluster, whose each is."""
    return OWNED_COLUMNS if view.tables["cluster"] else RADIO_COLUMNS


def radio_rows(view: View) -> dict[str, list[Text]]:
    """Return a row for each radio."""
    clustered = bool(view.tables["cluster"])
    heard: dict[str, int] = {}
    for cells in view.tables["heard"].values():
        for name, cell in cells.items():
            heard[name] = heard.get(name, 0) + (cell is not None)
    return {
        name: [
            plain(name),
            *([plain(radio["owner"])] if clustered else []),
            state(radio["state"]),
            slot_cells(radio["slots"]),
            Text(str(heard.get(name, 0)), justify="right"),
            plain(radio["firmware"]),
            plain(radio["problem"]),
        ]
        for name, radio in view.tables["radios"].items()
    }


def owner_rows(view: View) -> dict[str, list[Text]]:
    """Return a row for each owner of a cluster."""
    return {
        id_: [
            plain(id_),
            plain(owner["site"]),
            *(Text(str(owner[name]), justify="right") for name in ("radios", "links", "slots")),
            ago(owner["at"], view.time),
            Text("this one") if owner["own"] else Text("silent" * owner["silent"], "red"),
        ]
        for id_, owner in view.tables["owners"].items()
    }


def broker_text(view: View) -> str:
    """Return how it is with the broker; nothing without a cluster."""
    for cluster in view.tables["cluster"].values():
        if not cluster["connected"]:
            return f", broker lost for {lasting(max(view.time - cluster['since'], 0.0))}"
        return f", {len(view.tables['owners'])} owners"
    return ""


def alarm_rows(view: View) -> dict[str, list[Text]]:
    """Return a row for each alarm, the oldest first."""
    alarms = sorted(view.tables["alarms"].items(), key=lambda one: float(one[1]["since"]))
    return {
        key: [
            Text(alarm["kind"], "bold red"),
            plain(alarm["source"]),
            plain(alarm["address"]),
            ago(alarm["since"], view.time),
            plain(alarm["text"]),
        ]
        for key, alarm in alarms
    }


def link_rows(view: View) -> dict[str, list[Text]]:
    """Return a row for each link, and for whoever waits for one."""
    rows: dict[str, list[Text]] = {}
    for address, link in view.tables["links"].items():
        place = view.tables["queue"].get(address, {}).get("place")
        doing = f"{link['state']}, number {place}" if place else link["state"]
        rows[address] = [
            plain(address),
            plain(view.tables["devices"].get(address, {}).get("name")),
            plain(link["source"]),
            plain(doing),
            ago(link["since"], view.time),
            plain(link["client"]),
        ]
    return rows


def matrix_columns(view: View) -> tuple[str, ...]:
    """Return the headings of the matrix: a column for each radio."""
    return (*DEVICE_COLUMNS, *view.tables["radios"])


def matrix_rows(view: View, wanted: str = "") -> dict[str, list[Text]]:
    """Return a row for each device, by address: how each radio hears it; the best one is marked.

    Args:
        view: the state.
        wanted: part of an address or a name; devices without it are left out.
    """
    radios, heard = list(view.tables["radios"]), view.tables["heard"]
    devices = [
        (address, device)
        for address, device in view.tables["devices"].items()
        if wanted.casefold() in f"{address} {device.get('name') or ''}".casefold()
    ]
    if len(devices) > MOST_DEVICES:
        devices.sort(key=lambda one: one[1].get("rssi") or UNHEARD, reverse=True)
        del devices[MOST_DEVICES:]
    rows: dict[str, list[Text]] = {}
    for address, device in sorted(devices):
        row = [plain(address), plain(device.get("name"))]
        cells = heard.get(address, {})
        for radio in radios:
            cell = signal((cells.get(radio) or {}).get("rssi"))
            if radio == device.get("source"):
                cell.stylize("bold underline")
            row.append(cell)
        rows[address] = row
    return rows


def log_rows(view: View, wanted: str = "") -> dict[str, list[Text]]:
    """Return the log, the newest entry first; only entries with `wanted` in them."""
    rows: dict[str, list[Text]] = {}
    # An alarm is told of when it is worth one, and has been for a while.
    for entry in sorted(view.log, key=lambda entry: (entry["time"], entry["number"]), reverse=True):
        shown = [entry[name] for name in ("kind", "source", "address", "text", "client")]
        if wanted.casefold() not in " ".join(str(one or "") for one in shown).casefold():
            continue
        rows[str(entry["number"])] = [Text(_clock_time(entry["time"])), *map(plain, shown)]
        if len(rows) == MOST_LOG:
            break
    return rows


def path_rows(device: Row) -> dict[str, list[Text]]:
    """Return a row for each path to a device, the best one first."""
    return {
        path["source"]: [
            plain(path["source"]),
            Text(f"{path['score']:g}", justify="right"),
            signal(path["rssi"]),
            plain("" if path["age"] is None else lasting(path["age"])),
            plain("" if path["free"] is None else f"{path['free']} of {path['slots']}"),
            plain(path["failures"] or ""),
            plain(path["obstacle"]),
            plain(", ".join(f"{name} {db:+g}" for name, db in path["parts"].items())),
        ]
        for path in device["paths"]
    }


def device_text(device: Row) -> Text:
    """Return what a device says, why its best path is the best, its table, its last connects."""
    text = Text()
    text.append_text(plain(device["name"] or "no name")).append(f"  {device['address']}\n", "dim")
    for company, data in device["manufacturer_data"].items():
        text.append(f"manufacturer {company}  ", "dim").append(f"{data}\n")
    for uuid, data in device["service_data"].items():
        text.append(f"service data {uuid}  ", "dim").append(f"{data}\n")
    for uuid in device["service_uuids"]:
        text.append("service  ", "dim").append(f"{uuid}\n")
    if device["why"]:
        text.append("\n").append_text(plain(device["why"])).append("\n")
    for service in device["services"] or ():
        text.append(f"\n{service['handle']:>4}  ", "dim").append_text(plain(service["name"]))
        for one in service["characteristics"]:
            text.append(f"\n{one['handle']:>6}  ", "dim").append_text(plain(one["name"]))
            text.append(f"  {', '.join(one['properties'])}", "dim")
    for connect in device["connects"][-MOST_CONNECTS:]:
        text.append("\n").append_text(_timeline(connect))
    return text


def _timeline(connect: Row) -> Text:
    """Return the steps of a wish for a link, with the seconds since the first one."""
    first = connect["steps"][0]["time"]
    text = Text()
    text.append(f"\n{_clock_time(first)}  ", "dim").append_text(plain(connect["client"] or ""))
    for step in connect["steps"]:
        text.append(f"\n{step['time'] - first:>8.2f} s  ", "dim").append(step["step"])
        for name in ("source", "error", "text"):
            if step[name]:
                text.append("  ").append_text(plain(step[name]))
    return text


def _clock_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%H:%M:%S")
