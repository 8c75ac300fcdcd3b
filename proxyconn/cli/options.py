"""Options that several commands share, and what they come to."""

from __future__ import annotations

import errno
import functools
import inspect
import ipaddress
import logging
import os
import re
import socket
import stat
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from platformdirs import user_config_path
from rich.logging import RichHandler

from proxyconn import InvalidKeyError, Proxy
from proxyconn._config import DEFAULT_PORT, MAX_PORT, Config, ConfigError, parse_config
from proxyconn.radio import check_key

from .arguments import KEY_OPTION
from .errors import BAD_USAGE, describe, fail, run
from .output import printable, safe, stderr
from .session import Settings

KEY_VARIABLE = "PROXYCONN_KEY"
"""Environment variable with the encryption key."""

PANEL = "Fleet"

OWN_LOGGERS = ("proxyconn", "proxyconn_esphome", "proxyconn_virtual")
USED_LOGGERS = ("aioesphomeapi", "zeroconf")

NEVER = logging.CRITICAL + 1
"""A level that nothing is logged at."""

_HOST = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d+))?")
_ADDRESS = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2}){5}")
_ADDRESS_LIKE = re.compile(r"\w{1,2}(?:([:-])\w{1,2})(?:\1\w{1,2})+")


def parse_proxy(text: str) -> Proxy:
    """Return the proxy of a `--proxy` option. Raises typer.BadParameter."""
    match = _HOST.fullmatch(text)
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is not HOST or HOST:PORT; put an IPv6 address in brackets, as in [fe80::1]"
        )
    if (v6 := match["v6"]) is not None:
        try:
            ipaddress.IPv6Address(v6)
        except ValueError:
            raise typer.BadParameter(f"{v6!r} is not an IPv6 address") from None
    port = int(match["port"] or DEFAULT_PORT)
    if not 1 <= port <= MAX_PORT:
        raise typer.BadParameter(f"port {port} is not 1 to {MAX_PORT}")
    return Proxy(v6 or match["host"], port)


def parse_address(text: str) -> str:
    """Return a device's address in its usual form, or its name. Raises typer.BadParameter."""
    address = text.replace("-", ":").upper()
    if _ADDRESS.fullmatch(address):
        return address
    if not text or _ADDRESS_LIKE.fullmatch(text):
        raise typer.BadParameter(
            f"{text!r} is neither a device's name nor its address, such as C4:00:00:00:00:01"
        )
    return text


def parse_interface(text: str) -> str:
    """Return the IP address of a `--interface` option. Raises typer.BadParameter."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not an IP address; give the address of the interface, not its name"
        ) from None
    if not _is_ours(address):
        raise typer.BadParameter(f"{text}: no interface of this machine has that address")
    return str(address)


def _is_ours(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as exc:
        # Whatever else there is against it, using it will tell.
        return exc.errno != errno.EADDRNOTAVAIL
    except (TypeError, ValueError):
        # The zone of an IPv6 address can be any text, and not every text is one to look up.
        return False
    return True


Address = Annotated[
    str,
    typer.Argument(metavar="ADDR", help="Address or name of the device.", parser=parse_address),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Pair = Annotated[bool, typer.Option("--pair", help="Pair as part of connecting.")]
Seconds = Annotated[
    float | None, typer.Option("--for", metavar="SECONDS", min=0.0, help="How long to listen.")
]


def fleet_settings(
    proxy: Annotated[
        list[Proxy] | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="A proxy to use; may be repeated.",
            parser=parse_proxy,
            rich_help_panel=PANEL,
        ),
    ] = None,
    key: Annotated[
        bool, typer.Option(KEY_OPTION, help="Ask for the encryption key.", rich_help_panel=PANEL)
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Configuration file, TOML.", rich_help_panel=PANEL),
    ] = None,
    no_discover: Annotated[
        bool,
        typer.Option("--no-discover", help="Look for no proxies by mDNS.", rich_help_panel=PANEL),
    ] = False,
    interface: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IP",
            help="Use mDNS only on the interface with this address; may be repeated.",
            parser=parse_interface,
            rich_help_panel=PANEL,
        ),
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A local adapter to use too, such as hci0; may be repeated.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="Longest wait for proxies, device and link together.",
            rich_help_panel=PANEL,
        ),
    ] = 30.0,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            help="Log to stderr; -vv logs what the libraries used do too.",
            rich_help_panel=PANEL,
        ),
    ] = 0,
) -> Settings:
    """Return what the options, the configuration and the environment come to.

    Raises:
        ConfigError, InvalidKeyError: the configuration or a key cannot be used.
        typer.BadParameter: there is nothing that could be a fleet.
    """
    settings = load_config(config)
    key_of = _Keys(settings, _prompted_key() if key else None)
    proxies = tuple(
        replace(one, noise_psk=key_of.proxy(one)) for one in (*(proxy or ()), *settings.proxies)
    )
    discover = settings.discover and not no_discover
    adapters = tuple(adapter) if adapter else settings.adapters
    if not (proxies or discover or adapters):
        raise typer.BadParameter(
            "no proxy to use: name one with --proxy HOST or in the configuration, "
            "or let them be discovered"
        )
    return Settings(
        proxies,
        discover,
        key_of,
        tuple(interface or ()),
        timeout,
        adapters=adapters,
        prefer=settings.prefer,
        avoid=settings.avoid,
        require=settings.require,
        verbose=verbose,
    )


class _Keys(Mapping[str, str]):
    """Keys by proxy name: the prompted one, else the configuration's, else the environment's."""

    def __init__(self, config: Config, prompted: str | None) -> None:
        self._named = {} if prompted else dict(config.keys)
        self._default = prompted or config.key or _environment_key()
        self._prompted = prompted

    def __getitem__(self, name: str) -> str:
        key = self._named.get(name, self._default)
        if key is None:
            raise KeyError(name)
        return key

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def proxy(self, proxy: Proxy) -> str | None:
        """Return the key of a proxy that is known."""
        own = None if self._prompted else proxy.noise_psk
        return own or self.get(proxy.name or proxy.host)


def _prompted_key() -> str:
    if sys.stdin.isatty():
        key: str = typer.prompt("Encryption key", hide_input=True, err=True)
    else:
        key = sys.stdin.readline()
    key = key.strip()
    if not key:
        raise InvalidKeyError("no key was entered")
    check_key(key, KEY_OPTION)
    return key


def _environment_key() -> str | None:
    key = os.environ.get(KEY_VARIABLE, "").strip() or None
    check_key(key, KEY_VARIABLE)
    return key


def load_config(path: Path | None) -> Config:
    """Read the configuration: the file given, else the user's own if there is one.

    Raises:
        ConfigError: it cannot be read or used.
    """
    file = path or user_config_path("proxyconn") / "config.toml"
    try:
        mode = file.stat().st_mode
        config = parse_config(file.read_text(encoding="utf-8"), str(file))
    except FileNotFoundError:
        if path is None:
            return Config()
        raise ConfigError(f"{file}: there is no such file") from None
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not valid TOML: it is not UTF-8") from None
    if config.has_keys and mode & 0o077 and stat.S_ISREG(mode) and os.name == "posix":
        stderr().print(
            f"[yellow]warning:[/] {safe(str(file))} holds keys and others can read it; "
            f"run: chmod 600 {safe(str(file))}",
            soft_wrap=True,
        )
    return config


def set_up_logging(*, verbose: int) -> None:
    """Log to stderr what asks for attention, and more if wanted.

    Args:
        verbose: 1 for everything of ours, 2 for that of the libraries used as well.
    """
    logging.basicConfig(level=logging.ERROR, handlers=[_log_handler()])
    wanted = (OWN_LOGGERS if verbose else ()) + (USED_LOGGERS if verbose > 1 else ())
    for name in wanted:
        logging.getLogger(name).setLevel(logging.DEBUG)


def set_up_logging_apart(*, verbose: int) -> None:
    """Log as `set_up_logging`, but leave the root logger to a program that runs in this process.

    Args:
        verbose: as in `set_up_logging`; 0 for our own errors only, which go where the program's go.
    """
    for name in USED_LOGGERS:
        logging.getLogger(name).setLevel(NEVER)
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    handler = _log_handler()
    for name in (OWN_LOGGERS if verbose else ()) + (USED_LOGGERS if verbose > 1 else ()):
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
        logger.propagate = False


class _PlainFormatter(logging.Formatter):
    """Lets nothing in a record steer the terminal: what strangers call themselves is logged too."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        return "\n".join(map(printable, super().format(record).split("\n")))


def _log_handler() -> logging.Handler:
    console = stderr()
    if console.is_terminal:
        handler: logging.Handler = RichHandler(
            console=console, show_path=False, log_time_format="%H:%M:%S.%f"
        )
        handler.setFormatter(_PlainFormatter("%(name)s: %(message)s"))
        return handler
    # A file has no width to wrap at.
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler


def fleet_command(
    command: Callable[..., Coroutine[Any, Any, None]],
) -> Callable[..., None]:
    """Make a typer command of a coroutine function that takes `Settings` first.

    The options of `fleet_settings` are added to its own.
    """

    @functools.wraps(command)
    def call(settings: Settings, **values: Any) -> None:
        set_up_logging(verbose=settings.verbose)
        run(command(settings, **values))

    return settings_command(call)


def settings_command(command: Callable[..., None]) -> Callable[..., None]:
    """Make a typer command of a function that takes `Settings` first.

    The options of `fleet_settings` are added to its own.
    """
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    shared = inspect.signature(fleet_settings, eval_str=True).parameters

    @functools.wraps(command)
    def call(**values: Any) -> None:
        try:
            settings = fleet_settings(**{name: values.pop(name) for name in shared})
        except (ConfigError, InvalidKeyError) as exc:
            raise fail(describe(exc), BAD_USAGE) from None
        command(settings, **values)

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*own, *shared.values())
    ]
    # typer reads the options from these two.
    call.__dict__["__signature__"] = inspect.Signature(parameters)
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call
