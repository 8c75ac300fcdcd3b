"""scripts/fuzz: which target, for how long, with what."""

from __future__ import annotations

import argparse
import logging
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from .engine import CORPUS, Findings, Target, run_random, seeds

NAMES = (
    *("client", "server", "owner", "hearing", "mdns"),
    *("frames", "adverts", "services", "config", "options"),
)
INSTRUMENTED = (
    *("proxyconn", "proxyconn_esphome", "proxyconn_virtual"),
    *("proxyconn_native_api", "proxyconn_owner", "tomllib"),
)
"""Packages whose coverage guides atheris."""

LONGEST_INPUT = 4096
LONGEST_RUN = 120
"""Seconds for one input; more is a hang."""

MOST_MEMORY = 2048
"""MiB."""

FOUND = Path(".cache") / "fuzz"

_STATUS = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/")

_NOISE = ("INFO: ", "WARNING: Failed to find function", "stat::", "#", "Done ")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("target", choices=(*NAMES, "all"), help="what to fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for how long, each target")
    parser.add_argument("--seed", type=int, default=1, help="of everything random; not 0")
    parser.add_argument("--engine", choices=("atheris", "random"), help="atheris if it is there")
    parser.add_argument("--input", type=Path, help="run this one input, such as one that was found")
    parser.add_argument("--in-child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Fuzz; return 1 if something was found."""
    chosen = arguments()
    if chosen.in_child:
        return _atheris_child(chosen.target, chosen.in_child, chosen.seconds, chosen.seed)
    _quiet()
    if chosen.input:
        _load(chosen.target)(chosen.input.read_bytes())
        return 0
    engine = chosen.engine or ("atheris" if find_spec("atheris") else "random")
    names = NAMES if chosen.target == "all" else (chosen.target,)
    run = _with_atheris if engine == "atheris" else _at_random
    return max(run(name, chosen.seconds, chosen.seed) for name in names)


def _quiet() -> None:
    """Keep what is logged on the way off the terminal; findings are printed."""
    logging.getLogger().addHandler(logging.NullHandler())


def _load(name: str) -> Target:
    """Return a target; imported here, since atheris instruments what is imported."""
    target: Target = import_module("tests.fuzz.targets").TARGETS[name]
    return target


def _at_random(name: str, seconds: int, seed: int) -> int:
    findings = Findings(FOUND / name)
    count = run_random(_load(name), seeds(name), findings, seconds=seconds, seed=seed)
    _report(name, "random", f"{count} executions", len(findings.kinds))
    return 1 if findings.kinds else 0


def _report(name: str, engine: str, figures: str, found: int) -> None:
    print(f"{name} ({engine}): {figures}, {found} findings", flush=True)


# atheris ends the process that it runs in, so that is another one.


def _with_atheris(name: str, seconds: int, seed: int) -> int:
    # What has reached further is kept, and the next run goes on from there.
    folder = FOUND / name / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "scripts.fuzzing", name, "--in-child", str(folder)),
        *("--seconds", str(seconds), "--seed", str(seed)),
    ]
    first = last = None
    found = 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if match := _STATUS.match(line):
                last = match
                first = first or (match if "INITED" in line else None)
            elif not line.startswith(_NOISE):
                found += line.startswith("FOUND ")
                print(line, end="", flush=True)
    code = child.returncode
    if last is None:
        print(f"{name}: atheris did not run (exit code {code})", file=sys.stderr)
        return 1
    begun = f"{first[2]} -> " if first else ""
    figures = f"{last[1]} executions, coverage {begun}{last[2]}, corpus {last[4]}"
    _report(name, "atheris", figures, found + (code != 0))
    return 1 if found or code else 0


def _atheris_child(name: str, folder: Path, seconds: int, seed: int) -> int:
    atheris = import_module("atheris")
    _quiet()
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        target = _load(name)
    findings = Findings(FOUND / name)

    def one_input(tape: bytes) -> None:
        try:
            target(tape)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            findings.take(error, tape)

    corpus = CORPUS / name
    FOUND.joinpath(name).mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            *(sys.argv[0], str(folder), *([str(corpus)] if corpus.is_dir() else [])),
            *(f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={LONGEST_INPUT}"),
            *(f"-timeout={LONGEST_RUN}", f"-rss_limit_mb={MOST_MEMORY}"),
            *(f"-artifact_prefix={FOUND / name}/", "-print_final_stats=1"),
        ],
        one_input,
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
