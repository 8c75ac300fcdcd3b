"""`proxyconn serve`: lends a fleet until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import typer
from bleak.exc import BleakError

from proxyconn import InvalidKeyError
from proxyconn.cli.config_file import ConfigError
from proxyconn.cli.errors import BAD_USAGE, CommandFailedError, describe, fail, run
from proxyconn.cli.fleet_session import Settings, all_settled, fleet_options, open_fleet
from proxyconn.cli.logs import set_up_logging
from proxyconn.cli.options import settings_command
from proxyconn.cli.output import stdout
from proxyconn.extras import MissingExtraError
from proxyconn.fleet.owner_socket import runtime_folder
from proxyconn.state.file import StateError
from proxyconn.state.folder import state_folder
from proxyconn_cluster.configuration import parse_cluster
from proxyconn_cluster.extra import check_extra
from proxyconn_cluster.fence import FencedLoop
from proxyconn_cluster.joining import CannotJoinError, member_of
from proxyconn_cluster.settings import ClusterSettings
from proxyconn_owner import options
from proxyconn_owner.ending import Ending
from proxyconn_owner.identity import UnusableStateError, load_identity, read_identity
from proxyconn_owner.notices import Notices
from proxyconn_owner.service import Owner, PortTakenError, serving
from proxyconn_owner.settings import ServeSettings, parse_serve
from proxyconn_owner.single import OwnerRunningError, only_owner
from proxyconn_owner.supervision import Supervisor
from proxyconn_web.access import TokenError

_LOGGER = logging.getLogger(__name__)


@settings_command
def serve(
    settings: Settings,
    *,
    api: options.Api = None,
    one: options.One = False,
    mirrored: options.Mirrored = False,
    name: options.Name = None,
    web: options.Web = None,
    web_token_file: options.WebTokenFile = None,
    web_origin: options.WebOrigin = None,
    no_announce: options.NoAnnounce = False,
    as_json: options.AsJson = False,
    show_key: options.ShowKey = False,
    state: options.StateFolder = None,
    cluster: options.Cluster = None,
    fleet: options.FleetName = None,
    site: options.Site = None,
    lease: options.Lease = None,
) -> None:
    """Lend the fleet to Home Assistant and to any number of programs at once.

    To them it is one ESPHome Bluetooth proxy, or one for each radio, encrypted with a key of its
    own. It runs until SIGTERM or Ctrl-C; SIGHUP reads the configuration again.
    """
    set_up_logging(verbose=settings.verbose, lasting=True)
    try:
        written = parse_serve(settings.serve, settings.clients)
        shared = parse_cluster(
            settings.cluster, cluster=cluster, fleet=fleet, site=site, lease=lease
        )
    except ConfigError as exc:
        raise fail(describe(exc), BAD_USAGE) from None
    wanted = replace(
        written,
        api=api or written.api,
        one=one or not mirrored if one or mirrored else written.one,
        mirrored=mirrored or (written.mirrored and not one),
        name=name or written.name,
        announce=written.announce and not no_announce,
        web=web or written.web,
        web_token_file=web_token_file or written.web_token_file,
        web_origin=web_origin or written.web_origin,
    )
    if wanted.web is None and (web_origin or web_token_file):
        option = "--web-origin" if web_origin else "--web-token-file"
        raise fail(f"{option} is about a web page, and there is none: add --web", BAD_USAGE)
    folder = state_folder(state)
    if show_key:
        _show_key(wanted, folder)
    else:
        _lend(settings, wanted, folder, Notices(as_json=as_json), shared)


def _lend(
    settings: Settings,
    wanted: ServeSettings,
    folder: Path,
    notices: Notices,
    shared: ClusterSettings | None,
) -> None:
    """Be this user's owner until told to end."""
    # It is not a client of another owner, nor of itself.
    own = replace(settings, owner=False)
    serve = partial(_serve, own, wanted, folder, notices, shared)
    try:
        with only_owner(runtime_folder()):
            make_loop = _loop_for(shared)
            run(Ending().until_told(serve), make_loop)
    except BrokenPipeError:
        # Whoever read what it prints has gone: typer knows how to end quietly.
        raise
    except (OwnerRunningError, StateError, MissingExtraError, OSError) as exc:
        raise fail(describe(exc)) from None


def _loop_for(shared: ClusterSettings | None) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the loop of an owner that must not speak to a proxy it has lost.

    Raises:
        MissingExtraError: what a cluster needs is not installed.
    """
    if shared is None:
        return None
    check_extra()
    return FencedLoop


def _show_key(settings: ServeSettings, folder: Path) -> None:
    try:
        key = settings.noise_psk or _kept_key(folder)
    except (StateError, OSError) as exc:
        raise fail(describe(exc)) from None
    stdout().print(key, soft_wrap=True, markup=False)


def _kept_key(folder: Path) -> str:
    """Return the key that is kept; one is made only if there is none, nor an owner that has one.

    Raises:
        StateError: what is kept cannot be read or used, or is kept elsewhere.
        OSError: the runtime folder cannot be had.
    """
    try:
        if identity := read_identity(folder):
            return identity.noise_psk
        with only_owner(runtime_folder()):
            return load_identity(folder)[0].noise_psk
    except UnusableStateError as exc:
        raise StateError(
            f"{exc}; an owner sets it aside when it starts, and makes a new key: end the one that "
            "runs, which has the old key, start it again, and ask then"
        ) from None
    except OwnerRunningError as exc:
        raise StateError(
            f"no key is kept in {folder}, and {exc.who} runs as the owner: "
            "name the folder that it was started with by --state"
        ) from None


async def _serve(
    settings: Settings,
    serve_settings: ServeSettings,
    folder: Path,
    notices: Notices,
    shared: ClusterSettings | None,
    ending: Ending,
) -> None:
    try:
        async with (
            Supervisor(settings.file, settings.stamp, ending.tell) as supervisor,
            member_of(shared, folder) as member,
            open_fleet(
                settings,
                tenure=member.tenure if member else None,
                cluster=member.place if member else None,
            ) as fleet,
            member.sharing(fleet) if member else nullcontext(),
        ):
            if serve_settings.mirrored:
                await all_settled(fleet, settings)
            async with serving(fleet, serve_settings, folder, runtime_folder(), notices) as owner:
                notices.ready(owner)
                reload = partial(_reload, settings, owner, notices)
                async with supervisor.clients_are_welcome(reload):
                    ending.clients_are_welcome()
                    with notices.of_radios(fleet):
                        await ending.told.wait()
                notices.stopping()
    except (PortTakenError, StateError, TokenError, MissingExtraError, CannotJoinError) as exc:
        raise CommandFailedError(str(exc)) from None


async def _reload(settings: Settings, owner: Owner, notices: Notices) -> None:
    """Read the configuration again; what cannot be read changes nothing. Raises nothing."""
    if settings.again is None:
        return
    try:
        now = await asyncio.to_thread(settings.again)
        rules = parse_serve(now.serve, now.clients)
        await owner.fleet.reconfigure(**fleet_options(now))
        owner.reload(rules)
    except (ConfigError, InvalidKeyError, typer.BadParameter, BleakError, OSError) as exc:
        notices.reloaded(describe(exc))
    except Exception as exc:  # the owner goes on as it was, and reads the next one
        _LOGGER.exception("the configuration could not be applied: this should not happen")
        notices.reloaded(describe(exc))
    else:
        notices.reloaded(None)
