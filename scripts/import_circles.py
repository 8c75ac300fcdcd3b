#!/usr/bin/env python3
"""Usage: import_circles.py   Fail where modules import each other in a circle.

Imports under `TYPE_CHECKING` count too: a reader has to follow them all the same. The contract of
import-linter looks at rooms and modules beside each other; this looks at every module there is.
"""

from __future__ import annotations

import sys
from graphlib import CycleError, TopologicalSorter

import grimp

PACKAGES = (
    "proxyconn",
    "proxyconn_bluez",
    "proxyconn_esphome",
    "proxyconn_native_api",
    "proxyconn_owner",
    "proxyconn_proto",
    "proxyconn_virtual",
)


def find_circle() -> list[str]:
    """Return the modules of one circle, the first one also as the last; none if there is none."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)
    sorter = TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    )
    try:
        sorter.prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]
    return []


def main() -> int:
    """Print a circle, if there is one."""
    circle = find_circle()
    if circle:
        print("modules import each other in a circle:\n  " + "\n  imports ".join(circle))
    return 1 if circle else 0


if __name__ == "__main__":
    sys.exit(main())
