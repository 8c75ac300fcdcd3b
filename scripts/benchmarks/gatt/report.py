"""The figures of the GATT benchmark, as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from .bench import Samples

LEVELS = ("direct", "managed")

UNITS = {"ms": "ms", "cpu_ms": "CPU ms", "per_cpu_second": "/CPU s"}
"""Value of a result -> what the table calls it."""


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def rows(samples: Samples) -> Iterator[dict[str, Any]]:
    """Yield a row for each level, figure and unit: ours, the peer's and the ratio of neighbours."""
    for level in LEVELS:
        for figure, sides in samples.items():
            ours, peer = sides.get(f"ours-{level}"), sides.get(f"peer-{level}")
            if not ours or not peer:
                continue
            for unit in (unit for unit in UNITS if unit in ours[0]):
                pairs = [(a[unit], b[unit]) for a, b in zip(ours, peer, strict=True)]
                yield {
                    "level": level,
                    "figure": figure,
                    "unit": unit,
                    "ours": spread([a for a, _ in pairs]),
                    "peer": spread([b for _, b in pairs]),
                    "ratio": spread([a / b for a, b in pairs]),
                }


def beyond_bare(samples: Samples) -> Iterator[dict[str, Any]]:
    """Yield what a connection costs each client beyond the bare exchange of messages."""
    for figure, sides in samples.items():
        bare = sides.get("bare")
        for level in LEVELS if bare else ():
            ours, peer = sides.get(f"ours-{level}"), sides.get(f"peer-{level}")
            if not (bare and ours and peer):
                continue
            for unit in ("ms", "cpu_ms"):
                floor, mine, theirs = (
                    statistics.median(one[unit] for one in side) for side in (bare, ours, peer)
                )
                yield {
                    "level": level,
                    "figure": figure,
                    "unit": unit,
                    "bare": floor,
                    "ours": mine - floor,
                    "peer": theirs - floor,
                }


def table(found: Sequence[dict[str, Any]], samples: Samples) -> str:
    """Return a table for people."""
    lines = []
    for level in LEVELS:
        of_level = [row for row in found if row["level"] == level]
        if of_level:
            lines += [_TITLES[level], _HEAD, *map(_line, of_level), ""]
            own = [row for row in beyond_bare(samples) if row["level"] == level]
            lines += [_OWN, *map(_own_line, own), ""] if own else []
    lines.append(f"{_NOTES}\n{_proxy_share(samples)}")
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    form = ",.0f" if row["unit"] == "per_cpu_second" else ".2f"
    ours, peer = (format(row[side]["median"], form) for side in ("ours", "peer"))
    ratio = row["ratio"]
    return (
        f"  {row['figure']:28}{UNITS[row['unit']]:>7}{ours:>10}{peer:>10}"
        f"{ratio['median']:>10.2f}  ({ratio['min']:.2f} - {ratio['max']:.2f})"
    )


def _own_line(row: dict[str, Any]) -> str:
    ratio = f"{row['ours'] / row['peer']:.2f}" if row["peer"] > 0 else "-"
    return (
        f"  {row['figure']:28}{UNITS[row['unit']]:>7}{row['ours']:>10.2f}{row['peer']:>10.2f}"
        f"{ratio:>10}  (bare {row['bare']:.2f})"
    )


def _proxy_share(samples: Samples) -> str:
    """Say whether the proxy kept up while notifications were streamed."""
    shares = [
        result["proxy_cpu_share"]
        for figure, sides in samples.items()
        if figure.startswith("notifications streamed")
        for results in sides.values()
        for result in results
    ]
    share = statistics.median(shares)
    return f"While it streamed, the proxies' process used {share:.0%} of a CPU" + (
        ": it is what limited the stream, not the clients." if share > 0.8 else "."
    )


_TITLES = {
    "direct": "direct: bleak.BleakClient with our ESPHomeClient, or with bleak-esphome's",
    "managed": "managed: our BleakClientWithServiceCache of a Fleet, or HaBleakClientWrapper",
}

_HEAD = f"{'':37}{'ours':>10}{'peer':>10}{'ours/peer':>10}  (least - most)"

_OWN = "  the client's own: what is left without the bare exchange of the same messages"

_NOTES = """\
Medians; the ratio is that of two measurements taken one after the other, with its extremes.
connect: until connected with services, over a radio that takes no time; the work of the proxy and
the network are part of the milliseconds, but not of the CPU milliseconds. Less is better.
reads, notifications: for each second of the client's CPU, with that many connections. More is
better. batched: the client looks when 500 have arrived; streamed: as they come."""
