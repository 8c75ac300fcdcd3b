"""The figures of the fleet benchmark, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return a table for people."""
    lines = []
    for figures in found:
        lines += [figures["title"], *_sides(figures), ""]
    return "\n".join([*lines, _NOTES])


def _sides(figures: dict[str, Any]) -> Iterator[str]:
    bound, reachable = figures["bound"], figures["reachable"]
    yield f"  bound {bound:.1f} s; {reachable / bound:.3f} of it with one opening at a time"
    yield f"{'':8}{'served':>11}{'makespan':>10}{'of bound':>10}{'wait':>8}{'worst':>8}{'held':>6}"
    for side, result in figures["sides"].items():
        served = f"{result['served']} of {figures['setting']['devices']}"
        wait = result["wait"]
        yield (
            f"  {side:6}{served:>11}{result['makespan']:>8.1f} s{result['of_bound']:>10.3f}"
            f"{wait.get('median', 0):>8.1f}{wait.get('max', 0):>8.1f}{result['slots_held']:>6}"
        )
    for side, result in figures["sides"].items():
        refusals = " + ".join(map(str, result["refusals"]))
        errors = ", ".join(f"{count} {name}" for name, count in result["errors"].items())
        yield f"  {side}: refusals {refusals}; errors {errors or 'none'}"
        spent = "; ".join(
            f"{what} {value['mean'] * 1000:.0f} ms (most {value['max'] * 1000:.0f})"
            for what, value in result["spent"].items()
            if value
        )
        yield f"    of a slot's time: {spent}"


_NOTES = """\
bound: every slot in use all the time. refusals: connect requests that found no slot, at each proxy.
wait: seconds until connected, less those of the radio; median and worst. held: slots at the end.
of a slot's time, as the proxies see it, on average: turnaround is from when there are a free slot
and a free radio until that opens a link; opening is the radio's; beyond hold is discovery, reading,
messages; unused is for how long a proxy had a free slot in vain before the last opening of all."""
