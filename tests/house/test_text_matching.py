"""The check that no code decides on the words of an exception, by the check's command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

FOUND = {
    "membership": "if 'slot' in str(error): pass",
    "comparison": "if repr(error) == 'x': pass",
    "arguments": "if error.args[0] == 'x': pass",
    "f-string": "if 'x' in f'{error}': pass",
    "changed": "if 'x' in str(error).lower(): pass",
    "by way of a name": "text = str(error)\n    if 'x' in text: pass",
    "assignment expression": "if 'x' in (text := str(error)): pass",
    "string test": "if str(error).startswith('x'): pass",
    "pattern": "if re.search('x', str(error)): pass",
    "match": "match str(error):\n        case 'x': pass",
    "table": "wait = WAITS[str(error)]",
    "look-up": "wait = WAITS.get(str(error))",
    "cause": "if 'x' in str(error.__cause__): pass",
    "nested function": "def inner():\n        return 'x' in str(error)",
}
PASSED = {
    "type": "if isinstance(error, OSError): pass",
    "number": "if error.errno == 5: pass",
    "log": "log(str(error))",
    "new error": "raise ValueError(f'no link: {error}') from error",
    "asked of the one module": "kind = kind_of_words(str(error))\n    if kind is None: pass",
    "other text": "if 'x' in str(name): pass",
}


def check(path: Path) -> subprocess.CompletedProcess[str]:
    """Run the check on one file."""
    script = ROOT / "scripts" / "no_text_matching.py"
    return subprocess.run(
        [sys.executable, script, path], capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize("case", FOUND)
def test_text_matching_found(tmp_path: Path, case: str) -> None:
    """Each way to decide on an exception's text is found, with its line."""
    module = tmp_path / "module.py"
    module.write_text(f"try:\n    pass\nexcept Exception as error:\n    {FOUND[case]}\n")
    result = check(module)
    assert result.returncode == 1
    assert result.stdout.startswith(f"{module}:")


def test_text_matching_found_in_parameters(tmp_path: Path) -> None:
    """Parameters that are exceptions by annotation, or by name, are errors too."""
    module = tmp_path / "module.py"
    module.write_text(
        "def one(failure: OSError): return 'x' in str(failure)\n"
        "def two(exc): return 'x' in str(exc)\n"
        "def three(kinds: tuple[type[Exception]]): return 'x' in str(kinds)\n"
    )
    lines = [line.split(":")[1] for line in check(module).stdout.splitlines()]
    assert lines == ["1", "2"]


def test_text_matching_passed(tmp_path: Path) -> None:
    """Types, numbers, logs and new messages are not decisions on text."""
    module = tmp_path / "module.py"
    for case, code in PASSED.items():
        module.write_text(f"try:\n    pass\nexcept Exception as error:\n    {code}\n")
        assert check(module).returncode == 0, case
