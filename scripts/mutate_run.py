"""scripts/mutate: which modules, with which tests; mutmut does the rest.

mutmut takes the path of a file for the name of its module, and writes beside what it mutates: it
is given a tree of links that is laid out as the packages are imported.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAP = ROOT / "tests" / "mutants.toml"
STAGE = ROOT / ".cache" / "mutate"
MUTMUT = str(Path(sys.executable).with_name("mutmut"))

NOT_A_DECISION = [r"_LOGGER\."]
"""Lines that are left whole."""


def main() -> int:
    """Mutate the modules that were asked for, and report; 1 if a mutant lived."""
    tests = tomllib.loads(MAP.read_text())["modules"]
    modules = sys.argv[1:] or [module for module in tests if module in _changed()]
    if unknown := [module for module in modules if module not in tests]:
        print(f"{', '.join(unknown)}: say in {MAP.relative_to(ROOT)} which tests are to notice")
        return 2
    if not modules:
        print(f"no module of {MAP.relative_to(ROOT)} differs from main; name one")
        return 0
    _stage(modules, sorted({test for module in modules for test in tests[module]}))
    children = os.environ.get("CHILDREN", "2")
    run = subprocess.run(
        [MUTMUT, "run", "--max-children", children],
        cwd=STAGE,
        check=False,
        text=True,
        stdout=None if sys.stdout.isatty() else subprocess.PIPE,  # mostly a spinner
    )
    if run.returncode:
        print(run.stdout or "")
        return run.returncode
    return _report(modules)


def _changed() -> set[str]:
    base = _output("git", "merge-base", "main", "HEAD").strip()
    return set(_output("git", "diff", "--name-only", base).splitlines())


def _stage(modules: list[str], tests: list[str]) -> None:
    """Lay the packages side by side, and say what to mutate there."""
    shutil.rmtree(STAGE, ignore_errors=True)
    STAGE.mkdir(parents=True)
    packages = [ROOT / "proxyconn", *ROOT.glob("backends/*"), *ROOT.glob("proto/*")]
    packages = [path for path in packages if (path / "__init__.py").exists()]
    for path in (*packages, ROOT / "tests", ROOT / "scripts"):
        (STAGE / path.name).symlink_to(path)
    settings = {
        "source_paths": [path.name for path in packages],
        "only_mutate": [_as_imported(module) for module in modules],
        "also_copy": ["scripts"],
        "do_not_mutate_patterns": NOT_A_DECISION,
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "--timeout=20"],
        "pytest_add_cli_args_test_selection": tests,
        "timeout_multiplier": 5.0,
        "timeout_constant": 3.0,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    ours = (ROOT / "pyproject.toml").read_text()
    (STAGE / "pyproject.toml").write_text("\n".join([ours, "[tool.mutmut]", *lines, ""]))


def _report(modules: list[str]) -> int:
    """Print what lived, and how much died of each module."""
    results = _output(MUTMUT, "results", "--all", "true", cwd=STAGE)
    statuses = dict(line.strip().rsplit(": ", 1) for line in results.splitlines())
    lived = [name for name, status in statuses.items() if status not in ("killed", "timeout")]
    for name in lived:
        print(_output(MUTMUT, "show", name, cwd=STAGE))
    for module in modules:
        prefix = _as_imported(module).removesuffix(".py").replace("/", ".") + ".x"
        found = Counter(status for name, status in statuses.items() if name.startswith(prefix))
        died = found["killed"] + found["timeout"]
        share = 100 * died / (found.total() or 1)
        print(f"{share:5.1f} % of {found.total():3} killed  {module}  {dict(found)}")
    return 1 if lived else 0


def _as_imported(module: str) -> str:
    return module.removeprefix("backends/").removeprefix("proto/")


def _output(*command: str, cwd: Path = ROOT) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
