"""Usage: python -m scripts.screenshots FOLDER   What commands show of a virtual house, as SVG.

The pages show them where they say `<!-- screenshot: NAME -->`, if they are there.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.text import Text

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection
from proxyconn_virtual.catalogue import household
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk

ROOMS = ("kitchen", "garage", "bedroom")
WIDTH = 96
"""Columns."""

THERMOMETER, LOCK, LAMP = (f"C4:00:00:00:00:0{number}" for number in (1, 2, 3))
FOREIGN_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""rich has the font fetched from another host."""

COMMANDS = {
    "discover": ("discover",),
    "scan": ("scan", "--for", "3"),
    "paths": ("paths", THERMOMETER),
    "services": ("services", LOCK),
}
"""Name of a picture -> what is run for it."""

LOOKING = {"slots": ("slots",)}
"""The same while somebody holds connections."""


async def shown(arguments: tuple[str, ...], environment: dict[str, str]) -> str:
    """Return what a command prints. Raises RuntimeError if it fails."""
    command = (sys.executable, "-m", "proxyconn", *arguments)
    # A live view would be a film, not a picture.
    color = {} if "scan" in arguments else {"FORCE_COLOR": "1", "COLORTERM": "truecolor"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdout=pipe, stderr=pipe, env={**os.environ, **environment, **color}
    )
    out, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {errors.decode()}")
    return out.decode()


def picture(title: str, text: str) -> str:
    """Return the text of a terminal as SVG."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, color_system="truecolor")
        console.print(Text.from_ansi(text.rstrip()))
        return FOREIGN_FONTS.sub("", console.export_svg(title=title))


async def take(folder: Path, home: Path) -> None:
    """Take every picture. Raises OSError, RuntimeError."""
    key = new_noise_psk()
    specs = [ProxySpec(name=name, noise_psk=key) for name in ROOMS]
    environment = {
        "COLUMNS": str(WIDTH),
        "PROXYCONN_KEY": key,
        "HOME": str(home),
        "RUNTIME_DIRECTORY": str(home),
        "STATE_DIRECTORY": str(home / "state"),
    }
    async with VirtualFleet(specs, household(ROOMS, seed=3), announce=False) as virtual:
        proxies = [Proxy("127.0.0.1", one.port, key) for one in virtual.proxies.values()]
        named = [word for one in proxies for word in ("--proxy", f"{one.host}:{one.port}")]

        async def one(name: str, arguments: tuple[str, ...]) -> None:
            text = await shown((*arguments, "--no-discover", *named), environment)
            svg = picture(f"proxyconn {' '.join(arguments)}", text)
            (folder / f"{name}.svg").write_text(svg, encoding="utf-8")

        # One at a time: a proxy serves one client.
        for name, arguments in COMMANDS.items():
            await one(name, arguments)
        async with AsyncExitStack() as stack:
            fleet = Fleet(proxies, discover=False, state=False, owner=False)
            await stack.enter_async_context(fleet)
            for address in (THERMOMETER, LOCK, LAMP):
                device = await fleet.find_device(address, timeout=30)
                client = await establish_connection(BleakClientWithServiceCache, device, address)
                stack.push_async_callback(client.disconnect)
            for name, arguments in LOOKING.items():
                await one(name, arguments)


def main() -> None:
    """Take the pictures into the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(take(folder, Path(home)))


if __name__ == "__main__":
    main()
