"""The public names and their signatures, as text.

Usage: python tests/house/public_api.py >tests/house/public_api.txt
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from types import ModuleType

MODULES = (
    "proxyconn",
    "proxyconn.radio",
    "proxyconn_esphome",
    "proxyconn_esphome.client",
    "proxyconn_esphome.codes",
    "proxyconn_esphome.backend",
    "proxyconn_esphome.scanner",
    "proxyconn_bluez.client",
    "proxyconn_bluez.backend",
    "proxyconn_bluez.stack",
    "proxyconn_virtual.advertising",
    "proxyconn_virtual.bumble",
    "proxyconn_virtual.catalogue",
    "proxyconn_virtual.chaos",
    "proxyconn_virtual.events",
    "proxyconn_virtual.fault_catalogue",
    "proxyconn_virtual.faults",
    "proxyconn_virtual.fleet",
    "proxyconn_virtual.peripheral",
    "proxyconn_virtual.peripheral_files",
    "proxyconn_virtual.proxy",
    "proxyconn_virtual.pytest_plugin",
    "proxyconn_virtual.radio",
    "proxyconn_virtual.simulated",
)
"""Modules that users may import from; every other one may move without notice."""


def public_names(module: ModuleType) -> list[str]:
    """Return the names that a module offers: those of `__all__`, else those it defines."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (getattr(value, "__module__", module.__name__) == module.__name__)
        and not isinstance(value, ModuleType)
        and (inspect.isclass(value) or inspect.isroutine(value) or name.isupper())
    )


def described(name: str, value: object) -> Iterator[str]:
    """Yield a line for a name, and one for each public method of a class."""
    if inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        if issubclass(value, enum.Enum):
            # The signature of a call is the interpreter's, and differs between its versions.
            yield f"class {name}({bases}): {', '.join(value.__members__)}"
        else:
            yield f"class {name}({bases}){_signature(value)}"
        for member, attribute in sorted(vars(value).items()):
            if member.startswith("_"):
                continue
            if isinstance(attribute, property):
                yield f"    {member}: property"
            elif isinstance(attribute, staticmethod | classmethod):
                yield f"    {member}{_signature(attribute.__func__)}"
            elif inspect.isroutine(attribute):
                yield f"    {member}{_signature(attribute)}"
    elif inspect.isroutine(value):
        yield f"{name}{_signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def _signature(value: object) -> str:
    try:
        text = str(inspect.signature(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def public_api() -> str:
    """Return every public name of every public module, with its signature."""
    lines: list[str] = []
    for name in MODULES:
        module = importlib.import_module(name)
        lines.append(f"# {name}")
        for member in public_names(module):
            lines += described(member, getattr(module, member))
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(public_api())
