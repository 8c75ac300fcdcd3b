"""Examples in docstrings run, as those of the documents do, on virtual proxies and an owner."""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import re
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bleak
import pytest

import proxyconn
from proxyconn import Fleet, Proxy
from proxyconn_owner.service import serving
from proxyconn_owner.settings import Listen, ServeSettings
from proxyconn_virtual.proxy import new_noise_psk
from tests.documents.blocks import PATIENCE, ROOT
from tests.documents.stand_in import house
from tests.owner.conftest import Noted

READ_FOR = 1.0
"""Seconds after which the owner ends, and with it what follows it for ever."""

FENCED = re.compile(r"^( *)```python\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LITERAL = re.compile(r"::\n\n((?:(?: {4}.*)?\n)+)")


def modules() -> Iterator[tuple[str, str]]:
    """Yield name and text of every module."""
    for top in (ROOT / "proxyconn", *(ROOT / "backends").glob("proxyconn_*")):
        for path in sorted(top.rglob("*.py")):
            name = ".".join(path.relative_to(top.parent).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path.read_text(encoding="utf-8")


def examples_in(text: str) -> Iterator[str]:
    """Yield the Python of each example in the docstrings of a module."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        said = (ast.get_docstring(node) or "") + "\n"
        yield from (textwrap.dedent(found[1]) for found in FENCED.findall(said))
        yield from (textwrap.dedent(found) for found in LITERAL.findall(said))
        if asked := doctest.DocTestParser().get_examples(said):
            yield "".join(one.source for one in asked)


EXAMPLES = [
    pytest.param(name, source, id=f"{name}-{number}")
    for name, text in modules()
    for number, source in enumerate(examples_in(text))
]


@asynccontextmanager
async def surroundings(folder: Path) -> AsyncIterator[dict[str, Any]]:
    """Run virtual proxies and an owner of most; yield the names that examples take for granted."""
    async with house() as virtual:
        kitchen, *others = (
            Proxy("127.0.0.1", one.port, noise_psk=one.spec.noise_psk)
            for one in virtual.proxies.values()
        )
        local = Listen("127.0.0.1", 0)
        settings = ServeSettings(api=local, announce=False, noise_psk=new_noise_psk())
        async with (
            Fleet(others, discover=False, state=False, owner=False) as fleet,
            serving(fleet, settings, folder, folder, Noted()) as owner,
        ):
            asyncio.get_running_loop().call_later(READ_FOR, owner.feed.close)
            yield {
                **{name: getattr(proxyconn, name) for name in proxyconn.__all__},
                "BleakClient": bleak.BleakClient,
                "BleakScanner": bleak.BleakScanner,
                "Proxy": lambda host, noise_psk: kitchen,
                "fleet": fleet,
                "socket": folder / "owner.sock",
            }


@pytest.mark.parametrize(("module", "source"), EXAMPLES)
async def test_example(module: str, source: str, tmp_path: Path) -> None:
    """It does what it says without an error."""
    own = vars(importlib.import_module(module))
    code = compile(source, module, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    async with asyncio.timeout(PATIENCE), surroundings(tmp_path) as names:
        result = eval(code, {**own, **names})
        if inspect.isawaitable(result):
            await result


def test_every_form_of_an_example_is_found() -> None:
    """Fences, literal blocks and questions to the interpreter, wherever a docstring stands."""
    fence, literal, asked = "```python\n    a = 1\n    ```", "So::\n\n        b = 2\n", ">>> c = 3"
    text = f'def f():\n    """X.\n\n    {fence}\n    {literal}\n    {asked}\n    """\n'
    assert [one.strip() for one in examples_in(text)] == ["a = 1", "b = 2", "c = 3"]
    assert {one.values[0] for one in EXAMPLES} >= {"proxyconn_web.client", "proxyconn_esphome"}
