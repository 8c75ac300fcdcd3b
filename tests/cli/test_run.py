"""`proxyconn run`: programs that know nothing of proxies, as real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from proxyconn_virtual.fleet import VirtualFleet
from tests.cli.conftest import DEADLINE, LAMP, STATE, STRAP, Invoke, all_free
from tests.cli.runner import Runner

READ = f"""
import asyncio, sys
from bleak import BleakClient, BleakScanner

async def main():
    device = await BleakScanner.find_device_by_name("Lamp")
    async with BleakClient(device) as client:
        return bytes(await client.read_gatt_char("{STATE}"))
"""


async def test_script(runner: Runner, house: VirtualFleet) -> None:
    """A script finds itself as `python script.py` makes it, and a device as well."""
    await runner.write("NAME = 'sibling'", "sibling.py")
    script = await runner.write(
        READ
        + """
import sibling
assert __name__ == "__main__" and sys.modules["__main__"].__dict__ is globals()
assert __file__ == sys.argv[0]
print(sys.argv[1:], sibling.NAME, sys.stdin.read(), asyncio.run(main()).hex())
"""
    )
    arguments = ["--key=mine", "-v", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]
    done = await runner.run(script, *arguments, stdin="typed")
    assert done == (0, f"{arguments} sibling typed 00\n", "")
    await all_free(house)


async def test_module(runner: Runner) -> None:
    """-m runs a module of the present folder, or a package's __main__."""
    await runner.write(
        READ + "print(__package__, sys.argv[1:], asyncio.run(main()))", "thing/__main__.py"
    )
    for options in (["-m"], ["--", "-m"]):
        assert await runner.run(*options, "thing", "-m", "x") == (
            0,
            "thing ['-m', 'x'] b'\\x00'\n",
            "",
        )


async def test_command(runner: Runner) -> None:
    """A console script is found on PATH."""
    tool = await runner.write(
        f"#!{sys.executable}\n{READ}print(asyncio.run(main()))", "bin/lamptool"
    )
    path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
    assert await runner.run("lamptool", PATH=path) == (0, "b'\\x00'\n", "")


@pytest.mark.parametrize(
    "ending",
    [
        "raise SystemExit(7)",
        "sys.exit('it is broken')",
        "def inner():\n    raise LookupError('lost')\ntry:\n    inner()\nfinally:\n    inner()",
        "class Odd(Exception): pass\nsys.excepthook = lambda *a: print(a, file=sys.stderr)\n1 / 0",
        "this is no Python",
        "import nothing_of_that_name",
        "import time; time.sleep(1); raise KeyboardInterrupt",
        "import os; os.kill(os.getpid(), 15)",
        "import runpy; runpy.run_path('gone.py')",
    ],
)
async def test_endings(runner: Runner, ending: str) -> None:
    """Exit code and traceback are those that `python` gives."""
    script = await runner.write(f"import sys\nprint('begun', flush=True)\n{ending}\n")
    ours, pythons = await runner.run(script), await runner.run(script, python=True)
    assert ours[:2] == pythons[:2]
    # The hook of the fourth is shown another traceback object.
    cut = ours[2].partition(" at 0x")[0], pythons[2].partition(" at 0x")[0]
    assert cut[0] == cut[1]


async def test_loops_of_all_kinds(runner: Runner, house: VirtualFleet) -> None:
    """Several asyncio.run(), a loop that stands still between calls, and threads: one fleet."""
    script = await runner.write(
        READ
        + f"""
import threading, time
found = asyncio.run(BleakScanner.discover(0.5))
device = next(device for device in found if device.name == "Lamp")

async def read():
    async with BleakClient(device) as client:
        return bytes(await client.read_gatt_char("{STATE}"))

print(asyncio.run(read()))
loop = asyncio.new_event_loop()
strap = BleakClient("{STRAP}")
loop.run_until_complete(strap.connect())
time.sleep(0.5)
assert strap.is_connected
beats = []

async def listen():
    await strap.start_notify("2a37", lambda sender, data: beats.append(data[0]))
    await asyncio.sleep(0.2)

loop.run_until_complete(listen())
time.sleep(0.3)
before = len(beats)
loop.run_until_complete(asyncio.sleep(0.01))
assert len(beats) - before > 5, (before, beats)
thread = threading.Thread(target=lambda: print(asyncio.run(read())))
thread.start()
thread.join()
loop.run_until_complete(strap.disconnect())
loop.close()
"""
    )
    assert await runner.run(script) == (0, "b'\\x00'\nb'\\x00'\n", "")
    await all_free(house)


@pytest.mark.parametrize("ending", ["", "sys.exit()"])
async def test_bluetooth_lasts_as_long_as_the_program(
    runner: Runner, house: VirtualFleet, ending: str
) -> None:
    """Threads that go on after the main one, and exit handlers, still have it."""
    script = await runner.write(
        READ
        + f"""
import atexit, threading
atexit.register(lambda: print("exit", asyncio.run(main())))
threading.Thread(target=lambda: print("thread", asyncio.run(main()))).start()
{ending}
"""
    )
    assert await runner.run(script) == (0, "thread b'\\x00'\nexit b'\\x00'\n", "")
    await all_free(house)


STAY = f"""
import asyncio, os, sys
from bleak import BleakClient

async def main():
    client = BleakClient("{LAMP}")
    await client.connect()
    print("connected", flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        if "tidy" in sys.argv:
            await client.disconnect()
            print("disconnected", flush=True)
"""


@pytest.mark.parametrize("tidy", [True, False])
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_signals(
    runner: Runner, house: VirtualFleet, sign: signal.Signals, tidy: bool
) -> None:
    """Whatever ends the program, it ends as it would by itself, and no slot stays taken."""
    script = await runner.write(STAY + "asyncio.run(main())")
    async with runner.running(script, *(["tidy"] if tidy else [])) as process:
        assert process.stdout
        async with asyncio.timeout(DEADLINE):
            assert await asyncio.to_thread(process.stdout.readline) == "connected\n"
        assert any(proxy.snapshot().slots for proxy in house.proxies.values())
        process.send_signal(sign)
        out, err = await asyncio.to_thread(process.communicate, timeout=DEADLINE)
        assert process.returncode == -sign
        assert out == ("disconnected\n" if tidy and sign == signal.SIGINT else "")
        assert err.rstrip().endswith("KeyboardInterrupt") == (sign == signal.SIGINT)
        assert "proxyconn" not in err
    await all_free(house)


@pytest.mark.parametrize("ending", ["os._exit(3)", "sys.exit(3)", "raise SystemExit(3)"])
async def test_links_left_open(runner: Runner, house: VirtualFleet, ending: str) -> None:
    """A program that ends without disconnecting leaves nothing; if it can, the link goes first."""
    events: list[str] = []
    for proxy in house.proxies.values():
        proxy.add_observer(lambda event: events.append(type(event).__name__))
    script = await runner.write(
        STAY.replace("await asyncio.sleep(60)", ending) + "asyncio.run(main())"
    )
    assert await runner.run(script) == (3, "connected\n", "")
    await all_free(house)
    tidy = events.index("Disconnected") < events.index("Unsubscribed")
    assert tidy == (ending != "os._exit(3)")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
async def test_forked_processes_are_told(runner: Runner) -> None:
    """A child has no thread of the fleet; it is told so, and does not wait for ever."""
    script = await runner.write(
        READ
        + """
import os
print(asyncio.run(main()), flush=True)
child = os.fork()
if not child:
    asyncio.run(main())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), asyncio.run(main()))
"""
    )
    code, out, err = await runner.run(script)
    assert (code, out) == (0, "b'\\x00'\n1 b'\\x00'\n")
    assert "the process that this one was forked from" in err


async def test_no_radio(runner: Runner, secrets: list[str]) -> None:
    """One line says why there is no radio, and the program gets what bleak documents."""
    script = await runner.write(
        """
import asyncio, time
from bleak import BleakScanner
from bleak.exc import BleakBluetoothNotAvailableError

started = time.monotonic()
try:
    asyncio.run(BleakScanner.discover())
except BleakBluetoothNotAvailableError as exc:
    print(exc.reason.name, time.monotonic() - started < 5)
"""
    )
    await runner.configure(lambda text: text.replace(secrets[0], secrets[1]))
    code, out, err = await runner.run(script)
    assert (code, out) == (0, "NO_BLUETOOTH True\n")
    assert err.count("\n") == 1
    assert err.startswith("warning: no proxy can be used: ")
    assert "garage, kitchen: " in err
    assert secrets[1] not in err


async def test_a_program_without_bluetooth_waits_for_nothing(runner: Runner) -> None:
    """What needs no radio is not held up by there being none."""
    script = await runner.write("print('usage: program')")
    joined: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: joined.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    proxy = f'discover = false\n[[proxy]]\nhost = "127.0.0.1"\nport = {port}\n'
    await runner.configure(lambda text: proxy)
    async with silent, asyncio.timeout(10):
        done = await runner.run(script)
        # From Python 3.12 on a server waits for the end of its connections.
        for writer in joined:
            writer.close()
    assert done == (0, "usage: program\n", "")


async def test_logging_is_the_programs(runner: Runner) -> None:
    """A program's basicConfig() works, and shows what it logs, not how the fleet works."""
    script = await runner.write(
        READ
        + """
import logging
logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
logging.getLogger("mine").debug("reading")
asyncio.run(main())
"""
    )
    code, _, err = await runner.run(script)
    assert code == 0
    assert {line.partition(":")[0] for line in err.splitlines()} <= {"mine", "asyncio"}
    runner.options.insert(1, "-v")
    code, _, err = await runner.run(script)
    assert code == 0
    assert " DEBUG proxyconn" in err
    assert "\nproxyconn" not in err
    assert "aioesphomeapi" not in err
    assert err.count("mine: reading") == 1


async def test_d_bus_is_left_alone(runner: Runner, tmp_path: Path) -> None:
    """Neither the fleet nor bleak asks a D-Bus that is there."""
    asked: list[asyncio.StreamWriter] = []
    bus = tmp_path / "bus"
    server = await asyncio.start_unix_server(lambda _, writer: asked.append(writer), bus)
    script = await runner.write(READ + "print(asyncio.run(main()))")
    done = await runner.run(script, DBUS_SYSTEM_BUS_ADDRESS=f"unix:path={bus}")
    server.close()
    for writer in asked:
        writer.close()
    assert (done, asked) == ((0, "b'\\x00'\n", ""), [])


def test_programs_that_cannot_be_run(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no Python program, or another Python's, is refused with the reason."""
    monkeypatch.setenv("PATH", str(tmp_path))
    commands = {
        "shell": ("#!/bin/sh\necho", "not a Python program"),
        "binary": ("\x7fELF", "not a Python program"),
        "other": ("#!/elsewhere/bin/python3.12\n", "belongs to another Python, /elsewhere/bin"),
    }
    for name, (text, words) in commands.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
        result = invoke("run", "--proxy", "192.0.2.1", name)
        assert (result.exit_code, words in result.output) == (2, True), result.output
    result = invoke("run", "--proxy", "192.0.2.1", "nothing", "--key")
    assert (result.exit_code, "there is no such file" in result.output) == (2, True)


def test_keys_are_not_taken_for_programs(invoke: Invoke) -> None:
    """A key after --key is refused, and not repeated."""
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    for arguments in (["--key", key, "thing"], [f"--key={key}", "thing"], ["--key", key[:41]]):
        result = invoke("run", *arguments)
        assert (result.exit_code, "--key asks for the key" in result.output) == (2, True)
        assert key[:41] not in result.output
