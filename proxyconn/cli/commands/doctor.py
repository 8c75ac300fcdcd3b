"""`proxyconn doctor`: what would keep the fleet from working, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict

import typer

from proxyconn import Subscribe
from proxyconn.cli.errors import FAILED, WARNED
from proxyconn.cli.fleet_session import Settings
from proxyconn.cli.option_types import AsJson
from proxyconn.cli.options import fleet_command
from proxyconn.cli.output import print_json, stdout
from proxyconn.models import Level


@fleet_command
async def doctor(settings: Settings, *, as_json: AsJson = False) -> None:
    """Look for what would keep the fleet from working, and say what to do about it.

    Only looks: no other program notices. With --take each proxy is taken over from whoever has it,
    and listened to as well. Exit code 0 if all is well, 3 if there are warnings only, 1 if there
    are problems.
    """
    # Not before it is asked for: the start of every other command would be slower.
    from proxyconn.cli.display.findings import findings_picture, summary
    from proxyconn.cli.examination.examine import examine

    found, _ = await examine(settings)
    levels = {one.level for one in found}
    well = levels <= {Level.OK, Level.NOTE}
    if as_json:
        print_json({"well": well, "findings": [asdict(one) for one in found]})
    else:
        console = stdout()
        console.print(findings_picture(found, console))
        console.print(f"\n{summary(found)}")
        if settings.subscribe is not Subscribe.ALWAYS:
            console.print("[dim]whether the proxies hear anything was not tried: --take does[/]")
    if not well:
        raise typer.Exit(FAILED if Level.PROBLEM in levels else WARNED)
