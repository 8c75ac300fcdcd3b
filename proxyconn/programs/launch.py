"""Somebody's Python program: where it is, and running it as `python` itself would."""

from __future__ import annotations

import builtins
import functools
import os
import re
import runpy
import shutil
import sys
import threading
import types
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import TracebackType

_SHEBANG = re.compile(rb"#!\s*(\S+)(?:\s+(\S+))?")
_PIP_LONG_SHEBANG = re.compile(rb"#!/bin/sh\n'''exec' \"?([^\"\n]+?)\"? ")
"""What pip writes where the path of the interpreter is too long for a shebang, or has spaces."""

ExceptHook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


class ProgramNotFoundError(Exception):
    """There is no such program, or it cannot be run here; the text says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its arguments.

    Attributes:
        name: a module's name, or the path of a script, a zip file or a folder with `__main__.py`.
        arguments: what `sys.argv` holds after its first entry.
        is_module: whether `name` is that of a module, as after `python -m`.
    """

    name: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False

    def run(self) -> None:
        """Run it as the main program of this process; whatever it raises goes through.

        `sys.argv`, `sys.path` and `__main__` are what `python` makes them, and a traceback that the
        interpreter shows in the end begins in the program.
        """
        sys.argv = [self.name, *self.arguments]
        if not sys.flags.safe_path:
            # The first entry is the folder of the command that is running.
            sys.path[:1] = self._first_paths()
        # typer has put hooks of its own here.
        sys.excepthook, sys.displayhook = sys.__excepthook__, sys.__displayhook__
        try:
            if self.is_module:
                runpy.run_module(self.name, run_name="__main__", alter_sys=True)
            elif _holds_main(Path(self.name)):
                runpy.run_path(self.name, run_name="__main__")
            else:
                _run_script(os.path.abspath(self.name))
        except SystemExit:
            _await_threads()
            raise
        except BaseException:
            sys.excepthook = functools.partial(_show_own_frames, sys.excepthook)
            raise
        else:
            _await_threads()

    def _first_paths(self) -> list[str]:
        if self.is_module:
            return [os.getcwd()]
        path = Path(self.name).resolve()
        # runpy itself puts what holds a whole program first.
        return [] if _holds_main(path) else [str(path.parent)]


def _run_script(path: str) -> None:
    """Run a source file as `__main__`, which it stays to the end of the process.

    runpy puts the former `__main__` back when the file has been run, though its threads, exit
    handlers and children may still look for what it defined.
    """
    main = types.ModuleType("__main__")
    loader = SourceFileLoader("__main__", path)
    vars(main).update(
        __annotations__={}, __builtins__=builtins, __cached__=None, __file__=path, __loader__=loader
    )
    sys.modules["__main__"] = main
    with open(path, "rb") as file:
        source = file.read()
    exec(compile(source, path, "exec", dont_inherit=True), vars(main))


def _await_threads() -> None:
    """Wait for the program's threads, as the interpreter would.

    Before it does, it ends all executors of the process, and the fleet needs one to join a proxy.
    """
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()


def _show_own_frames(
    show: ExceptHook,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    """Show an exception without the frames that led to the program."""
    while trace and not _leads_to_program(trace):
        trace = trace.tb_next
    while trace and _leads_to_program(trace):
        trace = trace.tb_next
    show(kind, error.with_traceback(trace), trace)


def _leads_to_program(trace: TracebackType) -> bool:
    return trace.tb_frame.f_globals.get("__name__") in (runpy.__name__, __name__)


def find_program(name: str) -> Path:
    """Return the file of a program: itself, or a command beside the interpreter or on PATH.

    Raises:
        ProgramNotFoundError: there is none, it is not Python, or it is another Python's.
    """
    path = Path(name)
    try:
        if path.is_file() or _holds_main(path):
            return path
    except OSError as exc:
        raise ProgramNotFoundError(f"{name}: cannot be read: {exc.strerror}") from None
    beside = shutil.which(name, path=os.path.dirname(sys.executable))
    command = beside or shutil.which(name)
    if command is None:
        raise ProgramNotFoundError(
            f"{name}: there is no such file, nor a command of that name on PATH; "
            "a module is run by -m"
        )
    _check_command(Path(command))
    return Path(command)


def _holds_main(path: Path) -> bool:
    return (path / "__main__.py").is_file() or (path.is_file() and zipfile.is_zipfile(path))


def _check_command(path: Path) -> None:
    """Raise ProgramNotFoundError unless this interpreter can run the command."""
    if zipfile.is_zipfile(path):
        # As pip makes them on Windows.
        return
    with path.open("rb") as file:
        head = file.read(1024)
    match = _PIP_LONG_SHEBANG.match(head) or _SHEBANG.match(head)
    words = [os.fsdecode(word) for word in match.groups() if word] if match else []
    if not any("python" in os.path.basename(word) for word in words):
        raise ProgramNotFoundError(f"{path}: not a Python program")
    interpreter = words[0]
    if os.path.isabs(interpreter) and "python" in os.path.basename(interpreter):
        there, here = (os.path.dirname(one) for one in (interpreter, sys.executable))
        if os.path.realpath(there) != os.path.realpath(here):
            raise ProgramNotFoundError(
                f"{path}: it belongs to another Python, {interpreter}; "
                f"install proxyconn there: {interpreter} -m pip install proxyconn"
            )
