"""The figures of the advertisement benchmark, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .bench import FLAT_SIDES

_WHAT = {
    "ours": "a fleet's callback, for every advertisement",
    "ours-changes": "a fleet's callback, for those that say something new",
    "peer": "habluetooth's BleakScanner(detection_callback=...), which has only those",
    "peer-every": "habluetooth's callback for an address, for each of them",
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
    yield f"{'':14}{'/CPU s':>12}{'us each':>9}{'callbacks':>11}"
    for side, of_side in figures["sides"].items():
        yield (
            f"  {side:12}{of_side['per_cpu_second']:>12,.0f}{of_side['us']:>9.2f}"
            f"{of_side['calls']:>11.0%}  {_WHAT[side]}"
        )
    every, changes = figures["ratios"]["every"], figures["ratios"]["changes"]
    yield f"  ours to peer-every {every:.2f}, ours-changes to peer {changes:.2f}"


def _flatness(compared: list[dict[str, Any]]) -> Iterator[str]:
    yield "any number of devices: advertisements for each second of CPU, and memory"
    names = "".join(f"{side:>14}" for side in FLAT_SIDES)
    yield f"{'devices':>9}{names}{'every':>7}{'changes':>9}{'MB ours':>9}{'peer':>6}"
    for figures in sorted(compared, key=lambda figures: int(figures["devices"])):
        sides, ratios = figures["sides"], figures["ratios"]
        rates = "".join(f"{sides[side]['per_cpu_second']:>14,.0f}" for side in FLAT_SIDES)
        yield (
            f"{figures['devices']:>9}{rates}{ratios['every']:>7.2f}{ratios['changes']:>9.2f}"
            f"{sides['ours']['rss']:>9.0f}{sides['peer']['rss']:>6.0f}"
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
Medians of bursts that each side took in turn; the ratios are those of neighbours. callbacks: calls
of the one callback for each advertisement."""
