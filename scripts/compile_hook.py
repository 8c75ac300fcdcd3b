"""Compiles the modules that have a `.pxd` file beside them: hatchling's hook, and a command.

`python scripts/compile_hook.py` compiles them in place, for this Python, and `--clean` takes that
back. A wheel is compiled where Cython and a compiler are there, and is plain Python where they are
not; `SKIP_CYTHON=1` has it plain in any case, `REQUIRE_CYTHON=1` has the build fail instead. What
is installed to be edited stays plain: compiled modules would hide what is edited.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = ("proxyconn", "backends")
"""Where to look for such modules."""

ROOTS = (".", "backends")
"""From where packages are named."""

NEEDED = ("cython>=3.1", "setuptools>=77")

DIRECTIVES = {
    "language_level": 3,
    # Types are those in the .pxd files: an annotation means what it means to Python.
    "annotation_typing": False,
}


def sources() -> list[Path]:
    """Return the modules to compile, by their paths from the root, where this must run."""
    declared = (pxd for folder in FOLDERS for pxd in Path(folder).rglob("*.pxd"))
    either = ((pxd.with_suffix(".pyx"), pxd.with_suffix(".py")) for pxd in declared)
    return sorted(pyx if pyx.exists() else py for pyx, py in either)


def module_name(source: Path) -> str:
    """Return the name by which a module is imported."""
    return ".".join(source.with_suffix("").parts).removeprefix("backends.")


def compile_modules(root: Path, into: Path) -> list[Path]:
    """Compile; return the files made, all under `into / "lib"` as in a site-packages folder.

    Raises:
        ImportError: there is no Cython, or no setuptools.
        Exception: whatever those two make of a module that does not compile, or of no compiler.
    """
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    with contextlib.chdir(root):
        options = [] if sys.platform == "win32" else ["-g0"]
        modules = [
            Extension(module_name(source), [str(source)], extra_compile_args=options)
            for source in sources()
        ]
        made = cythonize(  # type: ignore[no-untyped-call, unused-ignore]
            modules,
            build_dir=str(into / "c"),
            include_path=list(ROOTS),
            compiler_directives=DIRECTIVES,
            quiet=True,
        )
        command = build_ext(Distribution({"ext_modules": made}))
        command.build_lib, command.build_temp = str(into / "lib"), str(into / "objects")
        command.ensure_finalized()
        command.run()
        return [Path(name) for name in command.get_outputs()]


def clean(root: Path) -> None:
    """Remove what was compiled in place, for whichever Python."""
    for folder in FOLDERS:
        for suffix in ("so", "pyd"):
            for file in (root / folder).rglob(f"*.{suffix}"):
                file.unlink()


def compile_in_place(root: Path) -> None:
    """Compile, and put what is made beside the sources. Raises as `compile_modules`."""
    with tempfile.TemporaryDirectory() as scratch:
        into = Path(scratch)
        for file in compile_modules(root, into):
            place = file.relative_to(into / "lib")
            inside = root if (root / place.parts[0]).is_dir() else root / "backends"
            shutil.copy(file, inside / place)


class CompileHook(BuildHookInterface[Any]):
    """Adds compiled modules to a wheel."""

    _scratch: str | None = None

    def dependencies(self) -> list[str]:
        """Return what a build needs beyond hatchling."""
        return [] if os.environ.get("SKIP_CYTHON") == "1" else list(NEEDED)

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the wheel is to be edited, or it is asked not to."""
        if os.environ.get("SKIP_CYTHON") == "1" or version == "editable":
            return
        self._scratch = tempfile.mkdtemp()
        into = Path(self._scratch)
        try:
            files = compile_modules(Path(self.root), into)
        except Exception as exc:
            if os.environ.get("REQUIRE_CYTHON") == "1":
                raise
            self.app.display_warning(f"advertisements are handled in Python, not compiled: {exc!r}")
            return
        for file in files:
            build_data["force_include"][str(file)] = str(file.relative_to(into / "lib"))
        build_data["pure_python"], build_data["infer_tag"] = False, True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is not needed any more."""
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)


if __name__ == "__main__":
    here = Path(__file__).parent.parent
    clean(here)
    if sys.argv[1:] != ["--clean"]:
        compile_in_place(here)
