"""Commands that repeat no key which was put on the command line."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

import typer
from typer.core import TyperCommand

from proxyconn import InvalidKeyError
from proxyconn.cli.errors import BAD_USAGE, fail
from proxyconn.keys import check_key
from proxyconn.ports import LISTEN_PORT

KEY_OPTION = "--key"

LISTEN_OPTION = "--listen"

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


def with_port(args: Sequence[str], valued: Collection[str], *, program: bool) -> list[str]:
    """Return arguments in which `--listen` has a port: the usual one, unless one follows it.

    Args:
        args: the arguments.
        valued: options that take the argument behind them.
        program: whether the first argument that is no option ends the options.
    """
    done: list[str] = []
    rest = list(args)
    while rest and rest[0] != "--" and not (program and not rest[0].startswith("-")):
        argument = rest.pop(0)
        if argument != LISTEN_OPTION:
            done += [argument, *(rest[:1] if argument in valued else ())]
            rest = rest[1:] if argument in valued else rest
        elif rest and rest[0].isdecimal():
            done += [argument, rest.pop(0)]
        else:
            done.append(f"{LISTEN_OPTION}={LISTEN_PORT}")
    return done + rest


class Command(TyperCommand):
    """A command whose errors do not repeat what was meant as the value of `--key`."""

    program = False
    """Whether its arguments end with a program."""

    def with_port(self, args: Sequence[str]) -> list[str]:
        """Return its arguments; `--listen` is the one option whose value may be left out."""
        if LISTEN_OPTION not in args:
            return list(args)
        valued = {
            name
            for one in self.params
            if not (getattr(one, "is_flag", False) or getattr(one, "count", False))
            for name in one.opts
        }
        return with_port(args, valued, program=self.program)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; those that are too many may be a key."""
        args = self.with_port(args)
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

    program = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; what follows the program's name is nobody else's business."""
        args = self.with_port(args)
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
