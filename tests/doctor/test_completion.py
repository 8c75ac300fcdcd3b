"""Shells complete commands, those of other packages too, by what typer has installed for each."""

from __future__ import annotations

import asyncio

from tests.cli.conftest import Program, program, secrets

__all__ = ["program", "secrets"]

BASH = {"COMP_WORDS": "proxyconn d", "COMP_CWORD": "1"}
FISH = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}


async def test_commands_are_completed(program: Program) -> None:
    """bash, zsh and fish are each answered in their own way."""
    line = {"_TYPER_COMPLETE_ARGS": "proxyconn d"}
    bash, zsh, fish = await asyncio.gather(
        program.run(_PROXYCONN_COMPLETE="complete_bash", **BASH),
        program.run(_PROXYCONN_COMPLETE="complete_zsh", **line),
        program.run(_PROXYCONN_COMPLETE="complete_fish", **line, **FISH),
    )
    assert {"discover", "doctor", "demo"} <= set(bash.out.split())
    assert "scan" not in bash.out
    assert '"doctor":"Look for' in zsh.out
    assert "doctor\tLook for" in fish.out
