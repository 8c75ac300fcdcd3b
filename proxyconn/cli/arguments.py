"""Commands that repeat no key which was put on the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import typer
from typer.core import TyperCommand

from proxyconn import InvalidKeyError
from proxyconn.radio import check_key

from .errors import BAD_USAGE, fail

KEY_OPTION = "--key"

KEY_GIVEN = (
    "--key asks for the key: leave the value out, or set PROXYCONN_KEY; "
    "a key on the command line is in your shell history and in ps"
)

_KEY_LIKE = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")


def looks_like_key(argument: str) -> bool:
    """Whether an argument that has no place may be a key, or most of one."""
    return _KEY_LIKE.fullmatch(argument) is not None


def refuse_keys(arguments: Sequence[str]) -> None:
    """Look for keys among all arguments of the program.

    Raises:
        typer.Exit: there is one.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for argument in arguments[:end]:
        if argument.startswith(f"{KEY_OPTION}=") or _is_key(argument):
            raise fail(KEY_GIVEN, BAD_USAGE)


def _is_key(argument: str) -> bool:
    try:
        check_key(argument, "")
    except InvalidKeyError:
        return False
    return True


class Command(TyperCommand):
    """A command whose errors do not repeat what was meant as the value of `--key`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; those that are too many may be a key."""
        given, extra, _ = self.make_parser(ctx).parse_args(args=list(args))
        if extra and (given.get("key") or any(map(looks_like_key, extra))):
            raise fail(KEY_GIVEN, BAD_USAGE)
        try:
            # The parser empties the list it is given.
            return super().parse_args(ctx, list(args))
        except typer.BadParameter as exc:
            for before, after in pairwise(args):
                if before == KEY_OPTION:
                    exc.message = exc.message.replace(repr(after), f"what follows {KEY_OPTION}")
            raise


class ProgramCommand(Command):
    """A command whose arguments end with a program and the program's own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; what follows the program's name is nobody else's business."""
        try:
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        except Exception:
            # Whatever else is wrong with them: an error might repeat the key.
            refuse_keys(args)
            raise
        program = given.get("program")
        refuse_keys(args[: len(args) - len(given.get("arguments") or ())])
        if program and looks_like_key(program):
            raise fail(KEY_GIVEN, BAD_USAGE)
        return super().parse_args(ctx, args)
