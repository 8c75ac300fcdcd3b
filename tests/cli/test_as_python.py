"""`proxyconn run`: what a program finds of itself is what it finds under `python`."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from proxyconn.programs.replaced_threading import keep_ends_of_threads_quiet
from tests.cli.runner import Runner

SELF = """
import atexit, inspect, multiprocessing, pickle, sys, threading, time

def function(): pass
class Thing: pass
def module_of(thing): return type(thing).__module__

def late(where):
    print(where, sys.modules["__main__"].__dict__ is globals(), inspect.getfile(function),
          type(pickle.loads(pickle.dumps(Thing()))).__module__)

def thread():
    time.sleep(0.5)
    late("thread")

if __name__ == "__main__":
    print(inspect.getfile(function), inspect.getfile(Thing), inspect.getsource(Thing))
    print(sys.displayhook is sys.__displayhook__, sys.excepthook is sys.__excepthook__)
    print(__file__, __spec__, __package__, __cached__, type(__loader__), __builtins__)
    print(sorted(globals()))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(module_of, [Thing()]))
    late("main")
    sys.stdout.flush()
    atexit.register(late, "exit")
    threading.Thread(target=thread).start()
"""


async def test_program_finds_itself_as_under_python(runner: Runner) -> None:
    """Its file, its hooks, and its `__main__`: for pickle, for children, and to the very end."""
    script = await runner.write(SELF)
    for name in (script, script.name):
        plain = await runner.run(name, python=True)
        assert plain[0] == 0
        assert "thread True" in plain[1]
        assert "exit True" in plain[1]
        assert await runner.run(name) == plain


GREEN = """
from gevent import monkey; monkey.patch_all()
import asyncio
from bleak import BleakScanner

async def main():
    await BleakScanner.discover(timeout=0.1)

asyncio.run(main())
print("done")
"""


async def test_program_that_replaces_threading_ends_quietly(runner: Runner) -> None:
    """gevent replaces it under the fleet's threads; their ends are nothing to tell the user."""
    script = await runner.write(GREEN)
    assert await runner.run(script) == (0, "done\n", "")


def test_other_errors_of_threads_are_still_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what `threading` itself raises is left out, and only if it was replaced."""
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: told.append(str(args.exc_value)))
    ours = sys.unraisablehook
    keep_ends_of_threads_quiet()
    assert sys.unraisablehook is ours
    monkeypatch.setattr(threading, "get_ident", lambda: 1)
    keep_ends_of_threads_quiet()

    def fail() -> None:
        raise KeyError("the program's")

    try:
        fail()
    except KeyError as exc:
        sys.unraisablehook(_unraisable(exc))
    assert told == ['"the program\'s"']


def _unraisable(error: BaseException) -> Any:
    return SimpleNamespace(exc_value=error, exc_traceback=error.__traceback__)
