"""The figures of the advertisement benchmark, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_WHAT = {
    "ours": "a fleet, register_detection_callback",
    "peer": "habluetooth, BleakScanner(detection_callback=...)",
    "peer-every": "habluetooth, a callback for each address",
    "decode": "aioesphomeapi, and each payload parsed",
    "receive": "aioesphomeapi, nobody looks inside",
}


def table(found: dict[str, Any]) -> str:
    """Return a table for people."""
    first, *others = found["compared"]
    lines = [*_compared(first), ""]
    if others:
        lines += [*_flatness(found["compared"]), ""]
    if found["paced"]:
        lines += [*_paced(found["paced"]), ""]
    return "\n".join([*lines, _NOTES])


def _compared(figures: dict[str, Any]) -> Iterator[str]:
    yield f"{figures['devices']} devices, one proxy: advertisements for each second of CPU"
    yield f"{'':14}{'/CPU s':>12}{'us each':>9}{'ours/it':>9}{'callbacks':>11}"
    for side, of_side in figures["sides"].items():
        yield (
            f"  {side:12}{of_side['per_cpu_second']:>12,.0f}{of_side['us']:>9.2f}"
            f"{of_side['ours_to_it']:>9.2f}{of_side['calls']:>11.0%}  {_WHAT[side]}"
        )


def _flatness(compared: list[dict[str, Any]]) -> Iterator[str]:
    yield "any number of devices"
    yield f"{'devices':>10}{'ours/CPU s':>13}{'MB':>7}{'peer/CPU s':>13}{'MB':>7}{'ours/peer':>11}"
    for figures in sorted(compared, key=lambda figures: int(figures["devices"])):
        ours, peer = figures["sides"]["ours"], figures["sides"]["peer"]
        yield (
            f"{figures['devices']:>10}{ours['per_cpu_second']:>13,.0f}{ours['rss']:>7.1f}"
            f"{peer['per_cpu_second']:>13,.0f}{peer['rss']:>7.1f}{peer['ours_to_it']:>11.2f}"
        )


def _paced(paced: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield "many proxies in one process, each sending what it heard ten times a second"
    yield f"{'':8}{'sent/s':>10}{'of a CPU':>10}{'callbacks/s':>13}{'MB':>7}{'lost':>6}"
    for side, figures in paced.items():
        yield (
            f"  {side:6}{figures['sent_per_second']:>10,.0f}{figures['share']:>10.1%}"
            f"{figures['calls_per_second']:>13,.0f}{figures['rss']:>7.1f}{figures['lost']:>6}"
        )


_NOTES = """\
Medians of bursts that each side took in turn. callbacks: calls of the one callback for each
advertisement; habluetooth's scanner leaves out those that say nothing new."""
