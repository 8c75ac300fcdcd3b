"""Peripherals from a Python file: a list of them, or what makes one for the proxies there are."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from proxyconn.cli.config_file import ConfigError
from proxyconn_virtual.peripheral import Peripheral

USUAL_NAME = "peripherals"

_WHAT = "a Peripheral, a list of them, or a function of the proxies' names that returns either"


def peripherals_of_module(path: Path, name: str | None, proxies: Sequence[str]) -> list[Peripheral]:
    """Return the peripherals that a name in a Python file stands for.

    Args:
        path: the file; it is run, with its folder to import from.
        name: the name; None for `peripherals`.
        proxies: names of proxies, given to a function.

    Raises:
        ConfigError: the file or its function fails, or the name is none or something else.
    """
    name = name or USUAL_NAME
    module = _run(path)
    if not hasattr(module, name):
        raise ConfigError(
            f"{path}: {name} is missing; give it {_WHAT}, or name another: {path}:NAME"
        )
    value = getattr(module, name)
    if callable(value) and not isinstance(value, Peripheral):
        try:
            value = value(list(proxies))
        except Exception as exc:
            raise _failed(path, f"{name}()", exc) from exc
    made = [value] if isinstance(value, Peripheral) else value
    if not isinstance(made, Iterable):
        raise ConfigError(f"{path}: {name} must be {_WHAT}, not {type(value).__name__}")
    made = list(made)
    for one in made:
        if not isinstance(one, Peripheral):
            raise ConfigError(f"{path}: {name} must be {_WHAT}; in it is a {type(one).__name__}")
    return made


def _run(path: Path) -> ModuleType:
    try:
        is_there = path.is_file()
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from None
    if not is_there:
        raise ConfigError(f"{path}: there is no such file")
    spec = spec_from_file_location(f"proxyconn_peripherals_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: Python cannot load it; its name must end in .py")
    module = module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.modules[spec.name] = module  # dataclasses look themselves up in it
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        raise _failed(path, "the file", exc) from exc
    finally:
        sys.path.remove(folder)
    return module


def _failed(path: Path, what: str, exc: Exception) -> ConfigError:
    """Return the error for code of the user's that raised, with the line of it."""
    mine = [
        frame for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == str(path)
    ]
    line = exc.lineno if isinstance(exc, SyntaxError) else mine[-1].lineno if mine else None
    where = f" in line {line}" if line else ""
    return ConfigError(
        f"{path}: {what} failed{where}: {type(exc).__name__}: {exc}; correct it there"
    )
