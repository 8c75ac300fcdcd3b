"""Options that several commands share, and what they come to."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer
from platformdirs import user_config_path

from proxyconn import InvalidKeyError, Proxy, Subscribe
from proxyconn.cli.arguments import KEY_OPTION
from proxyconn.cli.config_file import Config, ConfigError, parse_config, read_text, stamp_of
from proxyconn.cli.errors import BAD_USAGE, describe, fail, run
from proxyconn.cli.fleet_session import Settings
from proxyconn.cli.logs import set_up_logging as set_up_logging
from proxyconn.cli.option_types import (
    Adapters,
    AskKey,
    ConfigFile,
    Interfaces,
    ListenOn,
    NoDiscover,
    NoOwner,
    Proxies,
    Scan,
    Take,
    Timeout,
    Verbose,
)
from proxyconn.cli.output import safe, stderr
from proxyconn.fleet.owner_socket import find_owner
from proxyconn.keys import check_key, is_open_to_others

KEY_VARIABLE = "PROXYCONN_KEY"
"""Environment variable with the encryption key."""


def fleet_settings(
    proxy: Proxies = None,
    key: AskKey = False,
    config: ConfigFile = None,
    no_discover: NoDiscover = False,
    interface: Interfaces = None,
    adapter: Adapters = None,
    listen: ListenOn = None,
    scan: Scan = None,
    no_owner: NoOwner = False,
    timeout: Timeout = 30.0,
    take: Take = None,
    verbose: Verbose = 0,
    must_exist: bool = True,
) -> Settings:
    """Return what the options, the configuration and the environment come to.

    A configuration file that is named may be missing unless it `must_exist`.

    Raises:
        ConfigError, InvalidKeyError: the configuration or a key cannot be used.
        typer.BadParameter: there is nothing that could be a fleet.
    """
    settings = load_config(config, must_exist=must_exist)
    key_of = _Keys(settings, _prompted_key() if key else None)
    proxies = tuple(
        replace(one, noise_psk=key_of.proxy(one)) for one in (*(proxy or ()), *settings.proxies)
    )
    discover = settings.discover and not no_discover
    adapters = tuple(adapter) if adapter else settings.adapters
    listening = listen or settings.listen
    if not (proxies or discover or adapters or listening or (not no_owner and find_owner())):
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
        listen=listening,
        scan=scan or settings.scan,
        prefer=settings.prefer,
        avoid=settings.avoid,
        require=settings.require,
        subscribe=Subscribe.ALWAYS if take else Subscribe.IF_FREE,
        asks=take is None,
        verbose=verbose,
        serve=settings.serve,
        clients=settings.clients,
        cluster=settings.cluster,
        file=config_path(config),
        stamp=settings.stamp,
        owner=False if no_owner else None,
    )


def _again(options: Mapping[str, Any]) -> Callable[[], Settings]:
    """Return what reads the configuration again for a program that runs by it.

    A key that was asked for is not asked for again, a file that is not there is no empty one, and
    an owner that runs is that program itself.
    """
    same = {"key": False, "must_exist": True, "no_owner": True}
    return functools.partial(
        fleet_settings, **{**options, **same, "config": config_path(options["config"])}
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


def config_path(given: Path | None) -> Path:
    """Return the configuration file: the one given, else the user's own."""
    return given or user_config_path("proxyconn") / "config.toml"


def load_config(path: Path | None, *, must_exist: bool = True) -> Config:
    """Read the configuration: the file given, else the user's own if there is one.

    The file that is given must exist, unless that is not asked for.

    Raises:
        ConfigError: it cannot be read or used.
    """
    file = config_path(path)
    try:
        # Whatever is written from now on may not have been read.
        status = file.stat()
        config = replace(parse_config(read_text(file), str(file)), stamp=stamp_of(status))
    except FileNotFoundError:
        if path is None or not must_exist:
            return Config()
        raise ConfigError(f"{file}: there is no such file") from None
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read: {exc.strerror}") from None
    if config.has_keys and is_open_to_others(status.st_mode):
        stderr().print(
            f"[yellow]warning:[/] {safe(str(file))} holds keys and others can read it; "
            f"run: chmod 600 {safe(str(file))}",
            soft_wrap=True,
        )
    return config


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


def looking_command(command: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a typer command of one that only looks: it disturbs no other client of a proxy.

    The options of `fleet_settings` are added to its own, but not `--take` and `--scan`.
    """

    @functools.wraps(command)
    def call(settings: Settings, **values: Any) -> None:
        set_up_logging(verbose=settings.verbose)
        run(command(replace(settings, subscribe=Subscribe.NEVER), **values))

    return settings_command(call, without=frozenset({"take", "scan"}))


def settings_command(
    command: Callable[..., None],
    *,
    without: AbstractSet[str] = frozenset(),
    must_exist: bool = True,
) -> Callable[..., None]:
    """Make a typer command of a function that takes `Settings` first.

    The options of `fleet_settings`, but for those `without`, are added to its own. A configuration
    file that is named may be missing unless it `must_exist`.
    """
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    options = inspect.signature(fleet_settings, eval_str=True).parameters
    shared = {
        name: option for name, option in options.items() if name not in (*without, "must_exist")
    }

    @functools.wraps(command)
    def call(**values: Any) -> None:
        try:
            options = {name: values.pop(name) for name in shared}
            options["must_exist"] = must_exist
            settings = fleet_settings(**options)
            settings = replace(settings, again=_again(options))
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
