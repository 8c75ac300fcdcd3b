"""The layout of the house: small rooms, and no doors where none should be."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("proxyconn", "backends", "proto", "scripts", "tests")
GENERATED = "_pb2.py"
MODULE_LINES = 400
FOLDER_FILES = 14
FUNCTION_LINES = 60
Definition = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Iterator[Path]:
    """Yield every module that is written by hand."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.name.endswith(GENERATED):
                yield path


def functions(path: Path) -> Iterator[Definition]:
    """Yield every function and method of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Definition):
            yield node


def test_modules_are_small() -> None:
    """No module has 400 lines or more."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert len(sizes) > 10
    long = {str(path.relative_to(ROOT)): n for path, n in sizes.items() if n >= MODULE_LINES}
    assert long == {}


def body_lines(function: Definition) -> int:
    """Return the lines of a function from its docstring on; a signature may list many options."""
    return (function.body[-1].end_lineno or 0) - function.body[0].lineno + 1


def test_functions_fit_a_screen() -> None:
    """No function's body, its docstring included, has 60 lines or more."""
    long = {
        f"{path.relative_to(ROOT)}:{one.lineno} {one.name}": body_lines(one)
        for path in modules()
        for one in functions(path)
        if body_lines(one) >= FUNCTION_LINES
    }
    assert long == {}


def rooms() -> Iterator[Path]:
    """Yield every folder of the packages."""
    for top in ("proxyconn", "backends", "proto"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.is_dir() and path.name != "__pycache__":
                yield path


def test_rooms_are_not_crowded() -> None:
    """No folder of the packages has more than 14 files, those of a compiler not counted."""
    files = {
        room: [one for one in room.iterdir() if one.is_file() and one.suffix != ".so"]
        for room in rooms()
    }
    assert len(files) > 10
    crowded = {str(room.relative_to(ROOT)): len(n) for room, n in files.items()}
    assert {room: n for room, n in crowded.items() if n > FOLDER_FILES} == {}


def test_rooms_and_modules_say_what_they_are_for() -> None:
    """Every module begins with a docstring, and that of a room says where to begin reading."""
    silent = []
    for path in modules():
        if "tests" in path.relative_to(ROOT).parts:
            continue
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        is_room = path.name == "__init__.py" and path.parent.parent.name.startswith("proxyconn")
        if not text or (is_room and "May import: " not in text):
            silent.append(str(path.relative_to(ROOT)))
    assert silent == []


@pytest.mark.parametrize("folder", ["backends", "proto", "tests"])
def test_folder_is_no_package(folder: str) -> None:
    """The folders that only hold packages are none themselves."""
    assert (ROOT / folder).is_dir()
    assert not (ROOT / folder / "__init__.py").exists()


def test_scripts_say_how_to_use_them() -> None:
    """Every script can be run, and says how in one line."""
    scripts = [
        ROOT / ".ci" / "run",
        *(ROOT / "scripts" / name for name in ("check", "demo", "test")),
    ]
    for script in scripts:
        assert script.stat().st_mode & 0o111, script
        second = script.read_text(encoding="utf-8").splitlines()[1]
        assert second.startswith("# Usage: "), script
        subprocess.run(["bash", "-n", script], check=True, timeout=10)


def test_folders_of_tests_are_explained() -> None:
    """Whoever looks for the tests of something finds each folder in the guide."""
    guide = (ROOT / "docs" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = [one.parent.name for one in (ROOT / "tests").glob("*/test_*.py")]
    assert len(set(folders)) > 10
    assert sorted({name for name in folders if f"`tests/{name}`" not in guide}) == []


def test_pages_are_reached_from_the_readme() -> None:
    """Every page of the documentation is linked there, but for the Python reference."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = [str(one.relative_to(ROOT)) for one in (ROOT / "docs").rglob("*.md")]
    hidden = ("docs/index.md", "docs/reference/python/")
    missing = [one for one in pages if f"({one})" not in readme and not one.startswith(hidden)]
    assert len(pages) > 10
    assert missing == []
