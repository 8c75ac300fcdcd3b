"""What somebody else needs to see what is wrong."""

from __future__ import annotations

import json
import logging
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from proxyconn.cli.config_file import ConfigError
from proxyconn.cli.fleet_session import Settings
from proxyconn.cli.logs import OWN_LOGGERS
from proxyconn.models import Finding
from proxyconn.state.file import StateError, StateFile
from proxyconn.state.folder import state_folder

LIBRARIES = ("aioesphomeapi", "bleak", "dbus-fast", "protobuf", "typer", "zeroconf")

OWN_NAME = "proxyconn"
"""What an owner is called that has no other name; it is in every line of a log."""

MOST_OF_A_LOG = 5_000_000
"""Characters kept of a log, its end: what is wrong is there."""


@dataclass(frozen=True, slots=True)
class Item:
    """One file of the archive.

    Attributes:
        name: of the file.
        what: what is in it, in a few words.
        text: what is in it.
    """

    name: str
    what: str
    text: str


def gathered(
    settings: Settings,
    found: Iterable[Finding],
    snapshot: Mapping[str, Any],
    log: str,
    logs: Iterable[Path],
) -> list[Item]:
    """Return the files, not clean yet. Blocks.

    Raises:
        ConfigError: the configuration cannot be read.
        OSError: a log cannot.
    """
    items = [
        Item("versions.json", "versions of proxyconn, Python and libraries", _json(_versions())),
        Item("findings.json", "what the doctor finds", _json([asdict(one) for one in found])),
        Item("snapshot.json", "radios, slots, devices, alarms", _json(snapshot)),
        Item("state.json", "what is remembered from run to run", _json(_remembered())),
        Item("log.txt", "what was logged meanwhile", log),
    ]
    if settings.file is not None and settings.file.exists():
        text = _configuration(settings.file)
        items.append(Item("configuration.toml", "the configuration, without comments", text))
    for number, path in enumerate(logs, start=1):
        text = path.read_text(encoding="utf-8", errors="replace")[-MOST_OF_A_LOG:]
        items.append(Item(f"log-{number}.txt", f"{path.name}", text))
    return items


def _json(value: object) -> str:
    return json.dumps(value, indent=1, default=str, ensure_ascii=False) + "\n"


def _versions() -> dict[str, Any]:
    return {
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "proxyconn": version("proxyconn"),
        "python": sys.version,
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _remembered() -> list[dict[str, Any]] | str:
    try:
        facts = StateFile(state_folder()).read()
    except StateError as exc:
        return str(exc)
    return [{**key._asdict(), **fact._asdict()} for key, fact in facts.items()]


def _configuration(file: Path) -> str:
    import tomlkit

    from proxyconn.cli.archive.redaction import REMOVED
    from proxyconn.cli.setup.configuration import hide, read

    try:
        # Comments are left out: keys are put there, too.
        values = tomlkit.parse(read(file)).unwrap()
    except ValueError as exc:
        raise ConfigError(f"{file}: not valid TOML: {exc}") from None
    hide(values, shown=REMOVED)
    return tomlkit.dumps(values)


def secrets_of(settings: Settings) -> set[str]:
    """Return every key and password that the command knows of."""
    keys = settings.noise_psk
    found = {keys} if isinstance(keys, str | None) else {*keys.values(), keys.get("")}
    for proxy in settings.proxies:
        found |= {proxy.noise_psk, proxy.password}
    if settings.serve is not None:
        found.add(str(settings.serve.values.get("noise_psk") or ""))
    return {secret for secret in found if secret}


def names_of(settings: Settings, snapshot: Mapping[str, Any]) -> set[str]:
    """Return every name of a radio, a host or this machine that the files may hold."""
    pins = (settings.prefer, settings.avoid, settings.require)
    named = {name for pin in pins for names in pin.values() for name in names}
    named |= {name for proxy in settings.proxies for name in (proxy.host, proxy.name) if name}
    if not isinstance(settings.noise_psk, str | None):
        named |= set(settings.noise_psk)
    lent = (settings.serve, *settings.clients)
    named |= {str(table.values["name"]) for table in lent if table and "name" in table.values}
    named |= _around(settings)
    for radio in snapshot.get("radios", ()):
        named |= {str(radio[what]) for what in ("name", "host") if radio.get(what)}
    named.add(platform.node())
    # `cellar (c0:01)` is called `cellar` elsewhere.
    named |= {name.partition(" (")[0] for name in named}
    named.discard(OWN_NAME)
    return {name for name in named if name and not name.replace(".", "").isdigit()}


def _around(settings: Settings) -> set[str]:
    """Return the names around an owner: its page's host, its cluster, and its place there."""
    serve = settings.serve.values if settings.serve else {}
    cluster = settings.cluster.values if settings.cluster else {}
    servers = cluster.get("servers", "")
    addresses = servers.split(",") if isinstance(servers, str) else map(str, servers)
    hosts = {
        urlsplit(one.strip()).hostname for one in (str(serve.get("web_origin", "")), *addresses)
    }
    return {one for one in hosts if one} | {
        str(cluster[what]) for what in ("name", "site", "fleet") if what in cluster
    }


@contextmanager
def captured_log(*, shown: bool) -> Iterator[list[str]]:
    """Yield the lines that our own modules log meanwhile; `shown` lets them go to stderr too."""
    lines: list[str] = []
    handler = _Lines(lines)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in (*OWN_LOGGERS, "proxyconn_bluez")]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = shown
    try:
        yield lines
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))
