"""`proxyconn virtual --fault`: faults from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxyconn_virtual.fault_catalogue import CATALOGUE
from tests.cli.conftest import Invoke, Program
from tests.cli.test_virtual import own_prefix, use


async def test_virtual_with_faults(program: Program, tmp_path: Path) -> None:
    """A fault is there from the start, of the one proxy that was named."""
    file = tmp_path / "virtual.toml"
    kitchen = f"{own_prefix(file)}kitchen"

    async def work() -> None:
        found = await program.run("discover", "--config", file, "--json")
        free = {row["name"]: row["slots"]["free"] for row in found.json["proxies"]}
        assert free == {kitchen: 1, kitchen.replace("kitchen", "bedroom"): 3}

    faults = ("--fault", f"slot_leak=2@{kitchen}", "--fault", "frame_loss")
    done = await use(program, file, work, "--proxies", "2", *faults)
    assert (done.code, done.err) == (130, "")
    assert f"Faults from the start: slot_leak=2@{kitchen}, frame_loss." in done.out


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("frame_los", "did you mean 'frame_loss'"),
        ("frame_loss=2", "out of range"),
        ("duplicate_slot", "2026.7.0"),
        ("frame_loss@nowhere", "no proxy 'nowhere'"),
        ("=2", "is not NAME[=ARG][@PROXY]"),
        ("wrong_key", "encrypts"),
    ],
)
def test_virtual_refuses_faults(invoke: Invoke, option: str, words: str) -> None:
    """What cannot be injected is refused before anything starts."""
    result = invoke("virtual", "--plaintext", "--fault", option)
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())


def test_list_faults(invoke: Invoke) -> None:
    """The list has every fault, with its argument."""
    result = invoke("virtual", "--list-faults")
    assert result.exit_code == 0
    for name, fault in CATALOGUE.items():
        argument = "" if fault.argument is None else f"[={fault.argument.kind.value}]"
        assert f"{name}{argument} " in result.output
