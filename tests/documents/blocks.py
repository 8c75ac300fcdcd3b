"""Running what stands in a document: its Python, its commands and its configuration."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import typer
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, SkipParser
from sybil.typing import Parser

from proxyconn.cli import make_app
from proxyconn.cli.config_file import parse_config
from proxyconn_owner.settings import parse_serve
from proxyconn_virtual.proxy import new_noise_psk
from tests.documents.stand_in import PLACEHOLDER

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 30.0
"""Seconds that one block may take."""

LOOP = "asyncio runner of this document"
OTHER_FILE = re.compile(r"# (?!config\.toml)[\w./-]+\.toml\b")
"""The first line of TOML that is no configuration of ours."""


def documents() -> list[Path]:
    """Return every document that a user reads."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def parse(path: Path) -> Document:
    """Return what a document holds to be run."""
    parsers: list[Parser] = [
        CodeBlockParser("python", run_python),
        CodeBlockParser("sh", read_commands),
        CodeBlockParser("toml", read_configuration),
        SkipParser(),
    ]
    return Document.parse(str(path), *parsers, encoding="utf-8")


def run_python(example: Example) -> None:
    """Run a block in the namespace of those before it: in their loop, unless it starts its own."""
    # Lines are numbered as in the document, for the traceback of a failure.
    source = "\n" * example.line + str(example.parsed)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(source, example.path, "exec", flags=flags, dont_inherit=True)
    if "asyncio.run(" in source:
        exec(code, example.namespace)
    else:
        runner: asyncio.Runner = example.namespace[LOOP]
        runner.run(_run(code, example.namespace))


async def _run(code: CodeType, namespace: dict[str, Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        result = eval(code, namespace)
        if inspect.isawaitable(result):
            await result


def read_commands(example: Example) -> None:
    """Parse every `proxyconn` command, and look for every script, that a block names."""
    for line in str(example.parsed).replace("\\\n", " ").splitlines():
        for words in commands_of(line):
            if words[0] == "proxyconn":
                check_command(words[1:])
            elif words[0].startswith(("scripts/", ".ci/")):
                assert (ROOT / words[0]).is_file(), f"{words[0]}: there is no such script"


def commands_of(line: str) -> Iterator[list[str]]:
    """Yield the words of each command of a line, without comments, variables and redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word[0] in "|&;<>":
            while words and (words[0] == "sudo" or re.match(r"\w+=", words[0])):
                del words[0]
            if words:
                yield words
            words = []
        else:
            words.append(word)


def check_command(words: list[str]) -> None:
    """Read a command line as the program would, and do not run it."""
    if not words or words[0].startswith("-"):
        return
    group: Any = typer.main.get_command(make_app())
    try:
        context = group.make_context("proxyconn", list(words), resilient_parsing=True)
        name, command, rest = group.resolve_command(context, words)
        assert command is not None, f"proxyconn {words[0]}: there is no such command"
        command.make_context(name, rest, parent=context)
    except (typer.Exit, SystemExit) as exc:
        code = getattr(exc, "exit_code", getattr(exc, "code", None))
        assert code == 0, f"proxyconn {' '.join(words)}: is refused"


def unknown_in_sentences(path: Path) -> list[str]:
    """Return what sentences of a document say behind `proxyconn` that does not exist."""
    group: Any = typer.main.get_command(make_app())
    context = group.make_context("proxyconn", [], resilient_parsing=True)
    found = []
    for said in re.findall(r"`proxyconn ([a-z][^`]*)`", path.read_text(encoding="utf-8")):
        name, *words = said.split()
        command = group.get_command(context, name)
        options = {option for one in getattr(command, "params", ()) for option in one.opts}
        asked = {word.split("=")[0] for word in words if word.startswith("--")} - {"--"}
        if command is None or not asked <= options | {"--help"}:
            found.append(said)
    return found


def read_configuration(example: Example) -> None:
    """Read a block as a configuration file; one that begins `# other.toml` need only be TOML."""
    text = str(example.parsed)
    if OTHER_FILE.match(text):
        tomllib.loads(text)
        return
    config = parse_config(text.replace(PLACEHOLDER, new_noise_psk()), "config.toml")
    parse_serve(config.serve, config.clients)
