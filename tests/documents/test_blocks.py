"""What stands in the documents runs: Python on virtual proxies, commands and configuration as read.

A block that cannot run says why, in the line above it: `<!-- skip: next "reason" -->`.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from unittest import SkipTest

import pytest
from sybil import Document, Example
from sybil.evaluators.skip import Skipper

import proxyconn
from tests.documents.blocks import LOOP, ROOT, documents, parse, run_python, unknown_in_sentences
from tests.documents.stand_in import standing_in

SKIPPED_AT_MOST = 12
RUN = {"python", "sh", "toml"}
NOT_RUN = {"ini", "json", "text", "yaml", "{toctree}"}
THERMOMETER = "C4:00:00:00:00:01"
DOCUMENTS = {str(path.relative_to(ROOT)): path for path in documents()}


def evaluate(path: Path) -> None:
    """Run all of a document; public names, a fleet and a device are there from the beginning."""
    document = parse(path)
    if not any(one.region.evaluator is run_python for one in document):
        evaluate_blocks(document)
        return
    new_loop = asyncio.new_event_loop
    with standing_in(), asyncio.Runner(loop_factory=new_loop) as runner:
        fleet = proxyconn.Fleet()
        runner.run(fleet.__aenter__())
        try:
            names = {name: getattr(proxyconn, name) for name in proxyconn.__all__}
            device = runner.run(fleet.find_device(THERMOMETER, timeout=10))
            names |= {LOOP: runner, "fleet": fleet, "device": device, "asyncio": asyncio}
            document.namespace.update(names, __name__="__main__")
            evaluate_blocks(document)
        finally:
            runner.run(fleet.aclose())


def evaluate_blocks(document: Document) -> None:
    """Run every block but those that a document says cannot be run."""
    for example in document:
        try:
            example.evaluate()
        except SkipTest:
            continue


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", DOCUMENTS)
async def test_document(name: str) -> None:
    """Every block of a document does what it says without an error."""
    # Examples may start loops of their own, and block: a thread has none yet.
    await asyncio.to_thread(evaluate, DOCUMENTS[name])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_sentences_name_what_there_is(name: str) -> None:
    """A command or an option that a sentence names exists."""
    assert unknown_in_sentences(DOCUMENTS[name]) == []


def test_a_sentence_may_be_wrong(tmp_path: Path) -> None:
    """A misspelled command, or an option of another one, is found."""
    page = tmp_path / "page.md"
    page.write_text("`proxyconn skan`, `proxyconn slots --take`, `proxyconn run [--] P`, `x`\n")
    assert unknown_in_sentences(page) == ["skan", "slots --take"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_blocks_are_of_kinds_that_are_run_or_are_no_commands(name: str) -> None:
    """What a reader types stands in a block of a kind that the tests run, under no other name."""
    kinds = re.findall(r"^ *```(\S+)", DOCUMENTS[name].read_text(encoding="utf-8"), re.MULTILINE)
    assert set(kinds) <= RUN | NOT_RUN


def test_few_blocks_are_skipped() -> None:
    """Skipping stays the exception, and always has a reason."""
    skips = [one.parsed for path in documents() for one in parse(path) if is_skip(one)]
    assert all(action == "next" and reason for action, reason in skips)
    assert len(skips) <= SKIPPED_AT_MOST


def is_skip(example: Example) -> bool:
    """Whether a part of a document only says that the next one cannot run."""
    return isinstance(example.region.evaluator, Skipper)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nfleet.no_such_thing\n```",
        "```python\nawait fleet.find_device('nobody', timeout=0.01)\n```",
        "```python\nFleet = __import__('proxyconn').Fleet\nFleet(no_such_option=1)\n```",
        "```sh\nproxyconn scan --no-such-option\n```",
        "```sh\nFOO=1 proxyconn nosuchcommand | head\n```",
        "```sh\nproxyconn read one   # two are needed\n```",
        "```sh\nscripts/no-such-script\n```",
        "```toml\nno_such_key = 1\n```",
        "```toml\n[serve]\nno_such_key = 1\n```",
    ],
)
async def test_what_is_wrong_fails(text: str, tmp_path: Path) -> None:
    """A block that cannot work fails the test of its document."""
    page = tmp_path / "page.md"
    await asyncio.to_thread(page.write_text, f"{text}\n", encoding="utf-8")
    with pytest.raises(BaseException, match=r"no.?such|nobody|[Mm]issing"):
        await asyncio.to_thread(evaluate, page)
