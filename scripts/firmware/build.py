"""Fetches a release of ESPHome, and compiles its Bluetooth proxy for this machine.

Nothing of it is in this repository: it is GPL. What is compiled with it is ours and lies in stack/.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
STACK: Final = Path(__file__).resolve().parent / "stack"
CACHE: Final = ROOT / ".cache" / "firmware"

_GENERATED: Final = ("defines", "version", "build_info_data")
"""Headers that ESPHome's code generator writes for each device; ours are in stack/shim."""

_CORE: Final = (
    "application component helpers alloc_helpers log scheduler entity_base color"
    " controller_registry component_iterator time time_64 util wake/wake_host"
)
_HOST: Final = (
    "host/core host/hal host/helpers host/preferences network/util socket/bsd_sockets_impl"
    " socket/socket logger/logger logger/logger_host logger/task_log_buffer_host api/api_buffer"
    " api/api_frame_helper api/api_frame_helper_plaintext api/api_overflow_buffer api/api_pb2"
    " api/api_pb2_dump api/api_server api/proto api/list_entities api/subscribe_state"
)
_RADIO: Final = (
    "api/api_connection api/api_pb2_service ble_device_base/ble_client_state"
    " ble_device_base/ble_device esp32_ble/ble esp32_ble_tracker/esp32_ble_tracker"
    " bluetooth_connection/bluetooth_connection"
    " bluetooth_connection/bluetooth_connection_bluedroid"
    " bluetooth_connection/bluetooth_connection_hub bluetooth_proxy/bluetooth_proxy"
)


class BuildError(Exception):
    """A release could not be fetched or compiled; the text says why."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """One source file; `radio` if it is to see an ESP32's Bluetooth stack."""

    source: Path
    output: Path
    radio: bool


def build(release: str) -> Path:
    """Return the program of a release, made if there is none. Raises BuildError."""
    home = CACHE / release
    binary = home / "proxy"
    mark = home / "made-of"
    if binary.exists() and mark.exists() and mark.read_text() == _fingerprint():
        return binary
    wheel = _fetch(release, home)
    tree = _link_tree(wheel, home / "tree")
    shutil.rmtree(home / "objects", ignore_errors=True)
    (home / "objects").mkdir(parents=True)
    flags = _flags(release, tree)
    with ThreadPoolExecutor(cpu_count()) as pool:
        objects = list(pool.map(lambda unit: _compile(unit, flags), _units(tree, home)))
    _run(
        ["g++", "-m32", *map(str, objects), "-o", str(binary), "-lpthread", "-Wl,--wrap=bind"],
        "linked",
    )
    mark.write_text(_fingerprint())
    return binary


def _fingerprint() -> str:
    files = sorted(path for path in STACK.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in (*files, Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _fetch(release: str, home: Path) -> Path:
    """Unpack the wheel of a release."""
    into = home / "wheel"
    if (into / "esphome").is_dir():
        return into
    home.mkdir(parents=True, exist_ok=True)
    # Only C++ is taken from it, so it does not matter which Python it is for.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(home)]
    command += ["--python-version", "3.13", "--only-binary=:all:", f"esphome=={release}"]
    _run(command, f"fetched (esphome {release})")
    for wheel in home.glob("esphome-*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(into)
        wheel.unlink()
    return into


def _link_tree(wheel: Path, tree: Path) -> Path:
    """Make a tree of links to the sources, with our headers in place of the generated ones."""
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(wheel / "esphome", tree / "esphome", copy_function=_link)
    for name in _GENERATED:
        header = tree / "esphome" / "core" / f"{name}.h"
        header.unlink(missing_ok=True)
        header.symlink_to(STACK / "shim" / "esphome" / "core" / f"{name}.h")
    return tree


def _link(source: str, target: str) -> None:
    Path(target).symlink_to(Path(source).resolve())


def _flags(release: str, tree: Path) -> list[str]:
    year, month, patch = release.split(".")
    digits = "".join(char if char.isdigit() else " " for char in patch).split()[0]
    return [
        "-m32",  # as on the device: structures are laid out for 32 bits
        "-std=gnu++20",
        "-O1",
        "-w",
        "-fno-exceptions",
        "-DUSE_HOST",
        f'-DESPHOME_VERSION="{release}"',
        f"-DESPHOME_VERSION_CODE=VERSION_CODE({year}, {month}, {digits})",
        f"-I{STACK / 'shim'}",
        f"-I{tree}",
    ]


def _units(tree: Path, home: Path) -> list[_Unit]:
    components = tree / "esphome" / "components"
    objects = home / "objects"
    found = [
        _Unit(tree / "esphome" / "core" / f"{name}.cpp", objects / f"core-{_flat(name)}.o", False)
        for name in _CORE.split()
    ]
    for names, radio in ((_HOST, False), (_RADIO, True)):
        found += (
            _Unit(components / f"{name}.cpp", objects / f"{_flat(name)}.o", radio)
            for name in names.split()
        )
    found += (
        _Unit(source, objects / f"stack-{source.stem}.o", source.stem == "main")
        for source in sorted(STACK.glob("*.cpp"))
    )
    # Not every release has every file.
    return [unit for unit in found if unit.source.exists()]


def _flat(name: str) -> str:
    return name.replace("/", "-")


def _compile(unit: _Unit, flags: list[str]) -> Path:
    command = ["g++", *flags]
    if unit.radio:
        command += ["-include", str(STACK / "shim" / "prelude.h")]
    _run([*command, "-c", str(unit.source), "-o", str(unit.output)], f"compiled ({unit.source})")
    return unit.output


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"could not be {what}:\n{done.stderr[-2000:]}")
