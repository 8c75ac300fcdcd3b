"""The command line `proxyconn`: its commands, gathered.

Here: the app itself. `options.py` are the options that commands share, `fleet_session.py` the fleet
of one command, `config_file.py` the configuration, `errors.py` how a command ends; the commands
are in `commands/`, what they show is made in `display/`.
May import: everything of `proxyconn`. Other packages add commands by entry point.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import entry_points, version
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from proxyconn.cli.arguments import KEY_GIVEN, Command, ProgramCommand, looks_like_key, refuse_keys
from proxyconn.cli.commands import diagnostics, doctor, gatt, init, run, show, state
from proxyconn.cli.errors import BAD_USAGE, fail

RUN = "run"
PROGRAM_CONTEXT = {"allow_interspersed_args": False}
"""The first argument that is no option ends the options: those after it are the program's."""

COMMAND_GROUP = "proxyconn.commands"
"""Entry point group of commands that other packages bring: typer command functions, or whole apps
for commands that have commands of their own."""


MARKUP: Literal["markdown"] = "markdown"
"""How help texts are read: lines of a paragraph belong together."""


class CommandGroup(TyperGroup):
    """Our commands, and those of other packages, which are imported only when asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return [*super().list_commands(ctx), *sorted(entry_points(group=COMMAND_GROUP).names)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by its name, or None."""
        if command := super().get_command(ctx, cmd_name):
            return command
        for point in entry_points(group=COMMAND_GROUP, name=cmd_name):
            loaded = point.load()
            if isinstance(loaded, typer.Typer):
                command = typer.main.get_command(loaded)
                command.name = cmd_name
                return command
            brought = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
            brought.command(cmd_name, cls=Command)(loaded)
            return typer.main.get_command(brought)
        return None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, unless there is a key among them."""
        # What follows the name of a program is the program's own.
        if args[:1] != [RUN]:
            refuse_keys(args)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name; a key is not repeated as an unknown one."""
        if looks_like_key(args[0]):
            raise fail(KEY_GIVEN, BAD_USAGE)
        return super().resolve_command(ctx, args)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"proxyconn {version('proxyconn')}")
        raise typer.Exit


def _root(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Bluetooth LE through fleets of ESPHome Bluetooth proxies."""


def make_app() -> typer.Typer:
    """Return the command line as a typer application."""
    app = typer.Typer(
        cls=CommandGroup,
        rich_markup_mode=MARKUP,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        # Its tracebacks show local variables, and among them may be keys.
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for command in (
        show.discover,
        show.scan,
        show.slots,
        show.paths,
        gatt.services,
        gatt.read,
        gatt.write,
        gatt.notify,
        gatt.params,
        state.state,
        doctor.doctor,
        diagnostics.diagnostics,
    ):
        app.command(cls=Command)(command)
    app.command("init", cls=Command)(init.init)
    app.command(RUN, cls=ProgramCommand, context_settings=PROGRAM_CONTEXT)(run.run)
    return app


def main() -> None:
    """Run the command line."""
    starts: list[Callable[[], None]] = []
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A device's name, or a box, that the terminal cannot show must not end a command.
            stream.reconfigure(errors="replace")
    try:
        make_app()(obj=starts)
    except SystemExit:
        if not starts:
            raise
    for start in starts:
        start()
