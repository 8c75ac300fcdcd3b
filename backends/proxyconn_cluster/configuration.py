"""The `[cluster]` table of the configuration, and the options of commands that go before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from proxyconn.cli.config_file import ConfigError, Table
from proxyconn_cluster.settings import ClusterSettings, WhenCutOff, checked_servers

WHEN_CUT_OFF: Final = '"let_go" or "stay"'

OPTION: Final = "--cluster"


def parse_cluster(table: Table | None, **given: Any) -> ClusterSettings | None:
    """Return what is said about the cluster; None if nothing is.

    Args:
        table: the configuration's; None if there is none.
        given: `cluster` (URLs), `fleet`, `site`, `lease` of the command line; None for not given.

    Raises:
        ConfigError: a value is unknown or wrong.
    """
    values = _values(table) if table else {}
    source = f"{table.source}: cluster" if table else OPTION
    servers = given.pop("cluster", None) or values.pop("servers", None)
    values.pop("servers", None)
    values |= {name: value for name, value in given.items() if value is not None}
    if servers is None:
        if not values:
            return None
        raise ConfigError(
            f"{source}: say which: {OPTION} nats://HOST:4222, or `servers` under [cluster]"
        )
    try:
        return ClusterSettings(checked_servers(servers), **values)
    except ValueError as exc:
        raise ConfigError(f"{source}: {exc}") from None


def _values(table: Table) -> dict[str, Any]:
    table.allow(
        "servers",
        "fleet",
        "site",
        "name",
        "credentials",
        "nkey",
        "ca",
        "certificate",
        "domain",
        "lease",
        "when_cut_off",
    )
    values: dict[str, Any] = {
        name: table.get(name, str, "a name") for name in ("fleet", "site", "name", "domain")
    }
    values["servers"] = table.get(
        "servers", str, "the URL of a NATS server, or several with commas"
    )
    for name in ("credentials", "nkey", "ca", "certificate"):
        file = table.get(name, str, "the path of a file")
        values[name] = Path(file).expanduser() if file else None
    values["lease"] = _lease(table)
    cut_off = table.get("when_cut_off", str, WHEN_CUT_OFF)
    if cut_off is not None:
        if cut_off not in list(WhenCutOff):
            raise table.error("when_cut_off", f"must be {WHEN_CUT_OFF}")
        values["when_cut_off"] = WhenCutOff(cut_off)
    return {name: value for name, value in values.items() if value is not None}


def _lease(table: Table) -> float | None:
    value = table.values.get("lease")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise table.error("lease", "must be seconds")
    return float(value)
