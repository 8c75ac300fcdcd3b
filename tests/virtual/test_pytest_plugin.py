"""The pytest plugin, as the tests of somebody else's project use it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "docs" / "examples" / "thermometer"
PATIENCE = 55

TESTS = """
import asyncio, time
import pytest
from proxyconn import BleakClientWithServiceCache, RadioState
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import ProxySpec

KEPT = []

@pytest.fixture
def virtual_proxies():
    return [ProxySpec(name="attic")]

@pytest.fixture
def virtual_peripherals():
    return [Peripheral("C4:00:00:00:00:42", "Mine")]

async def test_own_house(virtual_fleet, virtual_proxy, proxyconn_fleet):
    assert virtual_proxy.name == "attic"
    device = await proxyconn_fleet.find_device("Mine", timeout=10)
    assert [path.source for path in proxyconn_fleet.paths(device.address)] == ["attic"]

async def test_leak(proxyconn_fleet):
    device = await proxyconn_fleet.find_device("Mine", timeout=10)
    KEPT.append(BleakClientWithServiceCache(device))
    await KEPT[0].connect()

async def test_faults_leave_slots_too(proxyconn_fleet, virtual_fault):
    virtual_fault("slot_leak", 1, proxy="attic")

async def test_faults_end(virtual_fault, virtual_proxy):
    off = virtual_fault("silent_scanner")
    assert virtual_proxy.injectors
    off()
    assert not virtual_proxy.injectors

async def test_unknown_fault(virtual_fault):
    virtual_fault("silent_scaner")

async def test_unknown_proxy(virtual_fault):
    virtual_fault("silent_scanner", proxy="cellar")

@pytest.mark.skip_waiting
async def test_skips(proxyconn_fleet):
    began = time.monotonic(), asyncio.get_running_loop().time()
    await asyncio.sleep(30)
    assert asyncio.get_running_loop().time() - began[1] >= 30
    assert time.monotonic() - began[0] < 20
    assert [radio.state for radio in proxyconn_fleet.radios] == [RadioState.READY]

class TestWrongPlace:
    @pytest.fixture
    def virtual_peripherals(self):
        return [Peripheral("C4:00:00:00:00:42", "Mine", rssi={"cellar": -50})]

    async def test_it(self, virtual_fleet):
        pass
"""


def run(folder: Path, *options: str) -> tuple[int, str]:
    """Run the tests of a folder, and return pytest's exit status and output."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "-rA", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout + done.stderr


def test_example_project() -> None:
    """The tests of the example project pass."""
    status, output = run(EXAMPLE, "-o", "addopts=")
    assert status == 0, output
    assert " 4 passed in " in output


def test_somebody_elses_tests(tmp_path: Path) -> None:
    """Fixtures are overridden, faults end, waiting is skipped; what is wrong is said clearly."""
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text((EXAMPLE / "pytest.ini").read_text())
    status, output = run(tmp_path)
    passed = re.findall(r"^PASSED test_it.py::(\w+)", output, re.MULTILINE)
    assert passed == [
        "test_own_house",
        "test_leak",
        "test_faults_leave_slots_too",
        "test_faults_end",
        "test_skips",
    ], output
    (leak,) = re.findall(r"^ERROR test_it.py::test_leak - (.*)", output, re.MULTILINE)
    assert leak.startswith("Failed: connection slots left")
    assert "attic holds C4:00:00:00:00:42 (Mine), " in output
    assert "finally: await client.disconnect()" in output
    assert "did you mean" in output
    assert "no proxy 'cellar'; there are: attic" in output
    assert "virtual_peripherals: 'Mine': rssi: no proxy 'cellar'; there are: attic" in output
    assert status == 1


def test_plugin_is_light() -> None:
    """Whoever uses no fixture pays for no fleet: neither ours nor bleak is loaded."""
    code = (
        "import sys, proxyconn_virtual.pytest_plugin\n"
        "heavy = {'proxyconn', 'bleak', 'aioesphomeapi', 'google', 'proxyconn_virtual.fleet'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("asyncio", "virtual_fleet needs pytest-asyncio"),
        ("looptime_plugin", "skip_waiting needs looptime"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, missing: str, words: str) -> None:
    """Without its companions the plugin says what a test needs."""
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.skip_waiting\nasync def test_it(virtual_fleet): pass\n"
    )
    status, output = run(tmp_path, "-p", f"no:{missing}", "-W", "ignore")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert f'{words}: pip install "proxyconn[pytest]"' in output
