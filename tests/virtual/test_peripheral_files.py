"""Virtual peripherals from TOML and Python files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxyconn.cli.config_file import ConfigError
from proxyconn_virtual.advertising import Advertisement, PrivateAddress
from proxyconn_virtual.peripheral import Properties
from proxyconn_virtual.peripheral_files import load_peripherals
from proxyconn_virtual.radios.advertising_data import advertising_of

PROXIES = ["t-kitchen", "t-garage"]
EVERYTHING = """
[[peripheral]]
name = "Sensor"
address = "c4:00:00:00:09:01"
address_type = "public"
rssi = { kitchen = -50 }
interval = 2
latency = 0.1
mtu = 23
pairable = false
manufacturer_data = { 0x004c = "02 15" }
service_data = { fcd2 = "40" }

[peripheral.private_address]
irk = "000102030405060708090a0b0c0d0e0f"
every = 60

[[peripheral.advertisement]]
data = "02 01 06"
scan_response = "02 09 4e"

[[peripheral.advertisement]]
services = ["180f"]
scan_response = { name = "N", tx_power = -4 }

[[peripheral.advertisement]]
flags = 4
manufacturer_data = { 0xffff = "0102030405060708091011121314151617181920212223242526272829303132" }
extended = true

[[peripheral.service]]
uuid = "180f"
[[peripheral.service.characteristic]]
uuid = "2a19"
properties = ["read", "notify"]
value = "58"
notify_every = 0.5
notify = ["01", "02"]
[[peripheral.service.characteristic]]
uuid = "6d1f0002-52a7-4f3c-9d0a-0a7c1f6e2b10"
properties = ["write"]
text = "on"
encrypted = true
echo = true

[[peripheral]]
name = "Tag"

[[peripheral]]
name = "Loud"
rssi = -40
"""


def load(folder: Path, text: str, name: str = "mine.toml", what: str = "") -> object:
    """Write a file, and load it."""
    (folder / name).write_text(text)
    return load_peripherals(f"{folder / name}{what}", PROXIES, prefix="t-")


def test_toml(tmp_path: Path) -> None:
    """Every key of the TOML form arrives."""
    (tmp_path / "mine.toml").write_text(EVERYTHING)
    sensor, tag, loud = load_peripherals(tmp_path / "mine.toml", PROXIES, prefix="t-")
    assert (sensor.address, sensor.address_type) == ("C4:00:00:00:09:01", 0)
    assert (sensor.interval, sensor.latency, sensor.mtu) == (2.0, 0.1, 23)
    assert (sensor.pairable, tag.pairable) == (False, True)
    assert sensor.rssi == {"t-kitchen": -50}
    assert sensor.manufacturer_data == {0x4C: b"\x02\x15"}
    assert sensor.service_data == {"0000fcd2-0000-1000-8000-00805f9b34fb": b"\x40"}
    assert sensor.private_address == PrivateAddress(bytes(range(16)), 60.0)
    raw, parts, long = advertising_of(sensor)  # type: ignore[misc]
    assert raw == Advertisement(data=b"\x02\x01\x06", scan_response=b"\x02\x09N")
    assert parts.data == b"\x02\x01\x06\x03\x03\x0f\x18"
    assert parts.scan_response == b"\x02\x09N\x02\x0a\xfc"
    assert long.extended
    assert long.data.startswith(b"\x02\x01\x04")
    level, switch = sensor.services[0].characteristics
    assert (level.properties, level.value) == (Properties.READ | Properties.NOTIFY, b"\x58")
    assert [level.notify_value(count) for count in range(3)] == [b"\x01", b"\x02", b"\x01"]
    assert level.notify_every == 0.5
    assert (switch.value, switch.encrypted) == (b"on", True)
    assert switch.on_write is not None
    assert switch.on_write(b"x") == b"x"
    assert tag.rssi == {"t-kitchen": -60, "t-garage": -60}
    assert loud.rssi == {"t-kitchen": -40, "t-garage": -40}
    assert tag.address == "C4:00:00:02:00:02"


ONE = '[[peripheral]]\nname = "Sensor"\n'
SERVICE = ONE + '[[peripheral.service]]\nuuid = "180f"\n'
CHARACTERISTIC = SERVICE + '[[peripheral.service.characteristic]]\nuuid = "2a19"\n'
ADVERTISEMENT = ONE + "[[peripheral.advertisement]]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no peripherals; a [[peripheral]] table is one"),
        ("peripheral = 3", "peripheral must be a list of tables, each under [[peripheral]]"),
        ("[[peripheral]", "not valid TOML"),
        ("[[peripheral]]", 'peripheral 1: name is missing; give it one, such as name = "Sensor"'),
        (ONE + 'addres = "x"', "peripheral 1: addres is unknown; did you mean address?"),
        (ONE + 'address = "x"', "peripheral 1: address must be an address, such as"),
        (ONE + "interval = 0", "peripheral 1: interval must be a number, 0.02 to 86400"),
        (ONE + "mtu = 5", "peripheral 1: mtu must be a whole number, 23 to 517"),
        (ONE + "loss = true", "peripheral 1: loss must be a number, 0 to 1"),
        (ONE + 'address_type = "x"', "address_type is 'x', and can be: public, random"),
        (ONE + "rssi = { cellar = -50 }", "no proxy 'cellar'; there are: t-kitchen, t-garage"),
        (ONE + 'rssi = { kitchen = "x" }', "peripheral 1: rssi: kitchen must be a whole number"),
        (ONE + 'manufacturer_data = { apple = "01" }', "has the company 'apple'; write it as 0x"),
        (ONE + 'manufacturer_data = { 0x01 = "1" }', "manufacturer_data must be hex digits"),
        (ONE + 'service_data = { zz = "01" }', "peripheral 1: service_data must be a UUID"),
        (ONE + f'service_data = {{ fcd2 = "{"00" * 30}" }}', "`advertising` decides"),
        (ONE + '[peripheral.private_address]\nirk = "01"', "irk must be 32 hex digits"),
        (ONE + ONE.replace("Sensor", "B") + 'address = "C4:00:00:02:00:01"', "two peripherals"),
        (SERVICE.replace('"180f"', '"x"'), "peripheral 1: service 1: uuid must be a UUID"),
        (
            CHARACTERISTIC + 'properties = ["reed"]',
            "peripheral 1: service 1: characteristic 1: properties is 'reed', and can be: read,",
        ),
        (CHARACTERISTIC + 'notify = ["01"]', "notify needs notify_every"),
        (CHARACTERISTIC + 'notify = ["x"]\nnotify_every = 1', "notify must be a list of hex"),
        (CHARACTERISTIC + 'text = "a"\nvalue = "01"', "text is the value, in letters"),
        (ADVERTISEMENT + 'data = "0"', "peripheral 1: advertisement 1: data must be hex digits"),
        (ADVERTISEMENT + 'data = "00"\nname = "x"', "data is all there is; leave it out, or name"),
        (ADVERTISEMENT + f'data = "{"00" * 32}"', "data cannot be said: the advertising data has"),
        (ADVERTISEMENT + "tx_power = 200", "tx_power must be a whole number, -127 to 127"),
        (ADVERTISEMENT + "scan_response = { x = 1 }", "advertisement 1: scan_response: x is unkn"),
    ],
)
def test_wrong_toml(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong is told with file, place, and what to do."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(tmp_path / "mine.toml") in str(caught.value)
    assert words in str(caught.value)


PYTHON = """
import helper_beside_it
from proxyconn_virtual.peripheral import Peripheral

peripherals = [Peripheral("C4:00:00:00:09:01", "one")]
single = Peripheral("C4:00:00:00:09:02", "two", rssi={"garage": -70})
number = 3

def factory(proxies):
    return [Peripheral(f"C4:00:00:00:09:0{n}", p) for n, p in enumerate(proxies)]

def fails(proxies):
    raise LookupError("no device")

mixed = [single, "x"]
"""


def test_python(tmp_path: Path) -> None:
    """A list, a single one and a factory; code beside the file can be imported."""
    (tmp_path / "helper_beside_it.py").write_text("")
    (tmp_path / "mine.py").write_text(PYTHON)

    def named(name: str) -> list[tuple[str, dict[str, int]]]:
        made = load_peripherals(f"{tmp_path / 'mine.py'}{name}", PROXIES, prefix="t-")
        return [(one.name, dict(one.rssi)) for one in made]

    everywhere = {"t-kitchen": -60, "t-garage": -60}
    assert named("") == [("one", everywhere)]
    assert named(":single") == [("two", {"t-garage": -70})]
    assert named(":factory") == [(name, everywhere) for name in PROXIES]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("x = 1", "", "mine.py: peripherals is missing; give it a Peripheral, a list of them"),
        ("x = (", "", "mine.py: the file failed in line 1: SyntaxError"),
        ("\nimport no_such_module", "", "mine.py: the file failed in line 2: ModuleNotFoundError"),
        (PYTHON, ":number", "number must be a Peripheral, a list of them"),
        (PYTHON, ":mixed", "in it is a str"),
        (PYTHON, ":fails", "mine.py: fails() failed in line 13: LookupError: no device; correct"),
        (PYTHON, ":other", "mine.py: other is missing"),
    ],
)
def test_wrong_python(tmp_path: Path, text: str, name: str, words: str) -> None:
    """What is wrong is told with file, line or name, and what to do."""
    (tmp_path / "helper_beside_it.py").write_text("")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, "mine.py", name)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["none.toml", "none.py", "none.txt"])
def test_no_file(tmp_path: Path, name: str) -> None:
    """A file that is not there, or of another kind, is named."""
    with pytest.raises(ConfigError, match=r"there is no such file|neither .toml nor .py"):
        load_peripherals(tmp_path / name, PROXIES)


def test_what_the_documentation_shows(tmp_path: Path) -> None:
    """The files of the documentation are ones that load."""
    page = Path(__file__).parents[2] / "docs" / "testing-your-integration.md"
    blocks = re.findall(r"^```(toml|python)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    files = [(kind, text) for kind, text in blocks if "peripherals = [" in text or kind == "toml"]
    made = []
    for number, (kind, text) in enumerate(files):
        file = tmp_path / f"block{number}.{'py' if kind == 'python' else kind}"
        file.write_text(text)
        made += load_peripherals(file, ["kitchen"])
    assert [one.name for one in made] == ["Sensor", "Beacon", "Counter", "Plug"]
