"""The parts of the reference that are written by the code itself: commands, errors and codes.

`docs/conf.py` puts them where a page says `<!-- generated: NAME ARGUMENT -->`. Each is Markdown.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any

import typer

from proxyconn.cli import make_app
from proxyconn.errors import ErrorKind
from proxyconn.failures.advice import advise
from proxyconn.failures.rules import RULES
from proxyconn_esphome import codes
from tests.house.public_api import MODULES

PLACE = re.compile(r"^<!-- generated: ([\w-]+) ?(.*?) -->$", re.MULTILINE)
CORE = "proxyconn"
FLEET = "Fleet"
"""Panel of the options that most commands share."""


def table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """Return a table; a cell may hold anything but a line break."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(one) for one in line) + " |" for line in lines) + "\n"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")


# Commands


def commands(argument: str = "") -> str:
    """Return every command, its arguments and its own options; those they share come first."""
    return "\n".join(_commands())


def _commands() -> Iterator[str]:
    group: Any = typer.main.get_command(make_app())
    root = group.make_context("proxyconn", [], resilient_parsing=True)
    made = {name: group.get_command(root, name) for name in group.list_commands(root)}
    contexts = {
        name: type(root)(command, info_name=name, parent=root) for name, command in made.items()
    }
    firsts = {name: inspect.cleandoc(made[name].help or "").split("\n\n")[0] for name in made}
    yield table(
        ("command", ""),
        ((f"[`{name}`](#{name})", " ".join(firsts[name].split())) for name in sorted(made)),
    )
    yield "## Options of the fleet\n"
    shared = {
        record[0]: record
        for name, command in made.items()
        for record in _records(command, contexts[name], FLEET)
    }
    yield table(("option", ""), (_as_code(record) for record in shared.values()))
    for name in sorted(made):
        yield from _command(made[name], contexts[name], list(shared))
        for own, command in getattr(made[name], "commands", {}).items():
            context = type(root)(command, info_name=f"{name} {own}", parent=root)
            yield from _command(command, context, list(shared))


def _command(command: Any, context: Any, shared: Sequence[str]) -> Iterator[str]:
    usage = " ".join(piece.strip("{}") for piece in command.collect_usage_pieces(context))
    yield f"## {context.info_name}\n\n```text\nproxyconn {context.info_name} {usage}\n```\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    rows = [
        (f"`{one.metavar or one.name.upper()}`", one.help)
        for one in command.get_params(context)
        if one.param_type_name == "argument"
    ]
    rows += [_as_code(record) for record in _records(command, context, None)]
    yield table(("", ""), rows)
    if own := [option for option, _ in _records(command, context, FLEET)]:
        missing = [f"`{_long(option)}`" for option in shared if option not in own]
        but = f", but not {' and '.join(missing)}" if missing else ""
        yield f"And the [options of the fleet](#options-of-the-fleet){but}.\n"


def _long(option: str) -> str:
    """Return the long name of an option, without its value."""
    return option.split(", ")[-1].split()[0]


def _as_code(record: tuple[str, str]) -> tuple[str, str]:
    option, text = record
    # The default of a switch that can be repeated says nothing.
    return f"`{option}`", text.removesuffix("  [default: 0]").replace("  [", " [").replace(
        "[", "\\["
    )


def _records(command: Any, context: Any, panel: str | None) -> Iterator[tuple[str, str]]:
    for one in command.get_params(context):
        if one.param_type_name == "option" and getattr(one, "rich_help_panel", None) == panel:
            record = one.get_help_record(context)
            if record and "help" not in one.name:
                yield record


# Errors


def error_kinds(argument: str = "") -> str:
    """Return every `ErrorKind`: what it is, and what to do."""
    return table(
        ("`kind`", "what went wrong", "what to do"),
        ((f"`{kind.value}`", text, advise(kind)) for kind, text in _documented(ErrorKind)),
    )


def costs(argument: str = "") -> str:
    """Return what a failure of each kind costs `establish_connection`, and is called at the end."""
    return table(
        ("`kind`", "counted as", "wait, s", "error at the end"), (_cost(kind) for kind in ErrorKind)
    )


def _cost(kind: ErrorKind) -> tuple[object, ...]:
    rule = RULES[kind]
    counter = rule.counter.name.lower().replace("_", " ")
    return f"`{kind.value}`", counter, f"{rule.wait:g}", f"`{rule.raised.__name__}`"


def enum_table(place: str) -> str:
    """Return the values of an enum, named `MODULE:CLASS`, and what each stands for."""
    module, _, name = place.partition(":")
    enum = getattr(importlib.import_module(module), name)
    return table(("value", ""), ((f"`{one.value}`", text) for one, text in _documented(enum)))


def _documented(enum: type[Any]) -> Iterator[tuple[Any, str]]:
    """Yield the members of an enum with the docstrings that follow them."""
    source = inspect.getsource(enum)
    for member in enum:
        found = re.search(
            rf'^    {member.name} = [^\n]*\n    """(.*?)"""', source, re.MULTILINE | re.DOTALL
        )
        yield member, " ".join(found[1].split()) if found else ""


def code_table(name: str) -> str:
    """Return the numbers of one enum of `proxyconn_esphome.codes`, with the kind of each."""
    enum: type[IntEnum] = getattr(codes, name)
    kind_of = KINDS.get(name, lambda code: ErrorKind.SECURITY)
    rows = (
        (f"`{one.value}`", _hexadecimal(one), f"`{one.name}`", f"`{kind_of(one)}`") for one in enum
    )
    return table(("number", "", "name", "`kind`"), rows)


def _hexadecimal(code: IntEnum) -> str:
    """Return a code as the stack's documents write it; the proxy's own are below zero."""
    return f"`{code.value:#04x}`" if code >= 0 else ""


KINDS: Mapping[str, Callable[[Any], ErrorKind]] = {
    "ConnectionReason": codes.kind_of_reason,
    "GattStatus": codes.kind_of_status,
}
"""What makes a kind of a number; every failure of pairing is one of security."""


# Python


def modules(package: str) -> str:
    """Return the documentation of the public modules of a package, or of one, from docstrings."""
    names = [name for name in MODULES if name == package or name.startswith(f"{package}.")]
    if package == CORE:  # what else it has stands on a page of its own
        names = [CORE]
    if not names:
        raise ValueError(f"{package} has no public module")
    return "\n".join(_module(name) for name in names)


def _module(name: str) -> str:
    known = importlib.import_module(CORE).__all__ if name != CORE else ()
    again = [one for one in known if hasattr(importlib.import_module(name), one)]
    option = f"   :exclude-members: {', '.join(again)}\n" if again else ""
    return f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n{option}```\n"


GENERATORS: Mapping[str, Callable[[str], str]] = {
    "commands": commands,
    "error-kinds": error_kinds,
    "costs": costs,
    "enum": enum_table,
    "codes": code_table,
    "modules": modules,
}


def filled(text: str) -> str:
    """Return a page with everything generated in its place. Raises KeyError, ValueError."""
    return PLACE.sub(lambda found: GENERATORS[found[1]](found[2]), text)
