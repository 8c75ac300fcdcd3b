"""scripts/test-firmware: options, and what to print."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence

from proxyconn_virtual.firmware.profiles import PROFILES, FirmwareProfile

from .build import BuildError, build
from .case import Case, Line, play
from .cases import CASES
from .compare import Difference, differences
from .house.stories import tell
from .house.storm import storm
from .left_out import LEFT_OUT
from .real_world import RealWorld
from .virtual_world import VirtualWorld
from .world import World

NEWEST = "2026.10.0"
AT_ONCE = 16
"""Cases that are played at a time: they mostly wait."""

MakeWorld = Callable[[], World]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/test-firmware", description=__doc__)
    parser.add_argument(
        "--release", action="append", metavar="VERSION", help=f"of ESPHome ({NEWEST}); repeatable"
    )
    parser.add_argument("--case", action="append", metavar="NAME", help="only this; repeatable")
    parser.add_argument("--show", action="store_true", help="print what was said")
    parser.add_argument(
        "--storm", type=float, metavar="SECONDS", help="no cases, but a storm over a fleet"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the storm")
    return parser.parse_args()


def profile_of(release: str) -> FirmwareProfile | None:
    """Return the profile of a release; None if there is none."""
    return next((profile for profile in PROFILES.values() if profile.version == release), None)


async def played(
    cases: Sequence[Case], make: MakeWorld, turns: asyncio.Semaphore
) -> list[Sequence[Line]]:
    """Play cases in worlds of one kind."""

    async def one(case: Case) -> Sequence[Line]:
        async with turns:
            return await play(case, make())

    return await asyncio.gather(*(one(case) for case in cases))


async def compare(
    cases: Sequence[Case], first: MakeWorld, second: MakeWorld, *, show: bool
) -> Mapping[str, list[Difference]]:
    """Play cases in worlds of two kinds, and return how they differ, by the name of the case."""
    turns = asyncio.Semaphore(AT_ONCE)
    ours, theirs = await asyncio.gather(played(cases, first, turns), played(cases, second, turns))
    if show:
        for case, lines in zip(cases, ours, strict=True):
            print(f"== {case.name}")
            for line in lines:
                at = "" if line.at is None else f"{line.at:7.2f}"
                print(f"{at:>7} {line.who}: {line.text}")
    return {
        case.name: differences(one, other)
        for case, one, other in zip(cases, ours, theirs, strict=True)
    }


def test(release: str, cases: Sequence[Case], *, show: bool) -> int:
    """Compare a release with its profile, or with the newest that has one; return the status."""
    profile = profile_of(release)
    binary = build(release)
    if profile is None:
        print(f"ESPHome {release} has no profile. What changed against {NEWEST}:")
        older = build(NEWEST)
        found = twice(cases, lambda: RealWorld(older), lambda: RealWorld(binary), show=show)
    else:
        virtual = profile
        found = twice(cases, lambda: RealWorld(binary), lambda: VirtualWorld(virtual), show=show)
    return report(release, found, judged=profile is not None)


def twice(
    cases: Sequence[Case], first: MakeWorld, second: MakeWorld, *, show: bool
) -> dict[str, list[Difference]]:
    """Compare, and compare once more what differs: a busy machine may have come too late."""
    found = dict(asyncio.run(compare(cases, first, second, show=show)))
    again = [case for case in cases if found[case.name] and case.name not in LEFT_OUT]
    return found | dict(asyncio.run(compare(again, first, second, show=False)))


def report(release: str, found: Mapping[str, list[Difference]], *, judged: bool) -> int:
    """Print what was found; return 1 if a case that is not left out differs."""
    unlike = [name for name, some in found.items() if some]
    for name in unlike:
        reason = LEFT_OUT.get(name) if judged else None
        print(f"{name}: left out: {reason}" if reason else name)
        for difference in found[name]:
            print(f"    {difference}")
    failed = [name for name in unlike if not (judged and name in LEFT_OUT)]
    alike = len(found) - len(unlike)
    print(f"{release}: {alike} of {len(found)} cases alike, {len(unlike) - len(failed)} left out")
    return int(bool(failed) and judged)


def main() -> int:
    """Run; return the exit status."""
    options = arguments()
    named = options.case or [case.name for case in CASES if not case.slow]
    cases = [case for case in CASES if case.name in named]
    if not cases:
        print(f"no such case; there are: {', '.join(case.name for case in CASES)}", file=sys.stderr)
        return 2
    status = 0
    for release in options.release or [NEWEST]:
        try:
            if options.storm:
                status |= storm(release, options.storm, options.seed)
            else:
                status |= test(release, cases, show=options.show)
                status |= 0 if options.case else tell(release)
        except BuildError as error:
            print(f"ESPHome {release} {error}", file=sys.stderr)
            status = 1
    return status


sys.exit(main())
