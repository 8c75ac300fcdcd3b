"""Who may do what on the bus, by the server configuration of docs/cluster.md; and what is on it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nkeys
import pytest
from nats.aio.msg import Msg
from nats.js.kv import KV_OP

from proxyconn import Fleet
from proxyconn_cluster.bus.connection import Bus, opened
from proxyconn_cluster.bus.errors import ClusterError
from proxyconn_cluster.bus.messages import encode
from proxyconn_cluster.exchange.status import RadioStatus, Status
from proxyconn_cluster.ownership.records import Lease, Wish
from proxyconn_cluster.settings import ClusterSettings
from proxyconn_cluster.survey import survey, wish_for

from .conftest import MakeServer
from .nats_server import NatsServer
from .place import KEY, LEASE, READ, Cluster, address, connect, peripheral, until

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"
MARK = "tried by tests/cluster/test_security.py -->\n```text\n"
ROLES = ("OWNER", "CLIENT", "VIEWER")
WIRETAP = "WIRETAP"
SECOND = 1.0


@dataclass(frozen=True)
class Users:
    """The users of a server that enforces what they may."""

    server: NatsServer
    files: dict[str, Path]

    def settings(self, role: str, **settings: Any) -> ClusterSettings:
        """Return what a user says about the cluster."""
        return ClusterSettings((self.server.url,), nkey=self.files[role], **settings)


def make_keys(folder: Path) -> tuple[dict[str, str], dict[str, Path]]:
    """Return public keys, and the files with the private ones, of every role."""
    public, files = {}, {}
    for role in (*ROLES, WIRETAP):
        pair = nkeys.from_seed(nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER))
        public[role] = pair.public_key.decode()
        files[role] = folder / f"{role}.nk"
        files[role].write_text(pair.seed.decode() + "\n", encoding="utf-8")
    return public, files


def from_page(public: dict[str, str]) -> str:
    """Return the configuration of the page, but for where it listens and keeps things."""
    text = PAGE.read_text(encoding="utf-8").partition(MARK)[2].partition("```")[0]
    lines = [one for one in text.splitlines() if not one.startswith(("listen:", "jetstream "))]
    text = "\n".join(lines)
    for role in ROLES:
        text = text.replace(f"nkey: {role},", f"nkey: {public[role]},")
        text = text.replace(f"_INBOX.{role}.>", f"_INBOX.{public[role]}.>")
    return text.replace("  users: [\n", f"  users: [\n    {{ nkey: {public[WIRETAP]} }}\n")


@pytest.fixture
async def users(make_server: MakeServer, tmp_path: Path) -> Users:
    """Return a server with the configuration of the page, and its users."""
    public, files = await asyncio.to_thread(make_keys, tmp_path)
    server = await make_server(await asyncio.to_thread(from_page, public))
    return Users(server, files)


@pytest.fixture
async def owned(users: Users, cluster: Cluster) -> Cluster:
    """Return a cluster with an owner of one proxy, and a device."""
    await cluster.build(["attic"], [peripheral(1, attic=-50)])
    member = await cluster.owner("a", server=users.server, nkey=users.files["OWNER"])
    await until(lambda: member.ready == {"attic"})
    return cluster


@asynccontextmanager
async def refusals(bus: Bus) -> AsyncIterator[list[str]]:
    """Yield what the server refuses a user in the block; it says so to that user alone."""
    errors: list[str] = []
    handler = bus.client._error_cb  # noqa: SLF001 - what nats-py calls

    async def note(error: Exception) -> None:
        if "permissions violation" in str(error):
            errors.append(str(error))

    bus.client._error_cb = note  # noqa: SLF001
    yield errors
    await bus.client.flush()
    await asyncio.sleep(0.1)
    bus.client._error_cb = handler  # noqa: SLF001


async def refused(bus: Bus, subject: str, data: bytes) -> bool:
    """Whether nobody gets what a user sends."""
    async with refusals(bus) as errors:
        await bus.client.publish(subject, data)
    return bool(errors)


async def deaf(bus: Bus, subject: str) -> bool:
    """Whether a user may not hear a subject."""
    async with refusals(bus) as errors:
        heard = await bus.client.subscribe(subject)
    await heard.unsubscribe()
    return bool(errors)


async def test_client_uses_devices(owned: Cluster, users: Users) -> None:
    """A program that owns nothing reads a device with what a client may."""
    async with Fleet(cluster=users.settings("CLIENT"), state=None, owner=False) as fleet:
        client = await connect(fleet)
        assert await client.read_gatt_char(READ) == b"value 1"
        await client.disconnect()


async def test_client_owns_nothing(owned: Cluster, users: Users) -> None:
    """A client can neither take a proxy, nor give it away, nor say what proxies hear."""
    lease = encode(Lease(owner="evil-1", site="home", name="attic"))
    wish = encode(Wish(owner="evil", now=True))
    async with opened(users.settings("CLIENT"), "program") as bus:
        subjects = bus.subjects
        assert await refused(bus, f"$KV.{subjects.leases}.aabbccddeeff", lease)
        assert await refused(bus, f"$KV.{subjects.wishes}.aabbccddeeff", wish)
        assert await refused(bus, f"$KV.{subjects.owners}.evil-1", b"{}")
        assert await refused(bus, f"$KV.{subjects.seen}.evil-1", b"{}")
        assert await refused(bus, subjects.of_site("home", "adverts", "aabbccddeeff"), b"")
        with pytest.raises(ClusterError):
            await wish_for(bus, "attic", "a", now=True)


async def test_client_speaks_for_no_owner(owned: Cluster, users: Users) -> None:
    """A client cannot say to be an owner, what a link is worth, or what has come over one."""
    (member,) = owned.members
    far = member.membership.members
    radio = RadioStatus("AA", "odd", "ready", slots=3, free=3)
    said = Status(
        sender=far.name,
        site=far.site,
        run=far.run,
        number=10_000,
        lease=LEASE,
        owner=True,
        radios=(radio,),
        leaving=True,
    )
    async with Fleet(cluster=users.settings("CLIENT"), state=None, owner=False) as fleet:
        await until(lambda: bool(fleet.paths(address(1))))
        async with opened(users.settings("CLIENT"), "evil") as bus:
            for kind in ("owner", "answer", "event"):
                subject = bus.subjects.of_site(far.site, kind, far.name, far.run)
                assert await refused(bus, subject, encode(said)), kind
            subject = bus.subjects.of_site(far.site, "member", far.name, far.run)
            assert not await refused(bus, subject, encode(said)), "where programs may speak"
            await asyncio.sleep(SECOND)
        assert [radio.name for radio in fleet.radios] == ["attic"]
        client = await connect(fleet)
        assert await client.read_gatt_char(READ) == b"value 1"
        await client.disconnect()


async def test_answers_are_the_askers(owned: Cluster, users: Users) -> None:
    """What an owner answers one user no other hears, nor what anybody reads or writes."""
    public = await asyncio.to_thread(_public_keys, users)
    for role in ("CLIENT", "VIEWER"):
        others = [f"_INBOX.{key}.>" for other, key in public.items() if other != role]
        async with opened(users.settings(role), "curious") as bus:
            for subject in ("_INBOX.>", "_INBOX.*.>", *others):
                assert await deaf(bus, subject), f"{role} hears {subject}"
            assert not await deaf(bus, f"_INBOX.{public[role]}.>")
    async with opened(users.settings("CLIENT"), "curious") as bus:
        for subject in ("link.>", "*.link.>", "*.link.*.*.do", ">"):
            assert await deaf(bus, f"proxyconn.v1.house.{subject}"), subject


def _public_keys(users: Users) -> dict[str, str]:
    seeds = {role: users.files[role].read_bytes().strip() for role in ROLES}
    return {role: nkeys.from_seed(seed).public_key.decode() for role, seed in seeds.items()}


async def test_viewer_only_looks(
    owned: Cluster, users: Users, caplog: pytest.LogCaptureFixture
) -> None:
    """A viewer sees the owners; whatever else it says nobody hears, and it is told so, once."""
    async with opened(users.settings("VIEWER"), "viewer") as bus:
        found = await survey(bus)
        assert [proxy.name for _, proxy in found.proxies()] == ["attic"]
        for kind in ("owner", "member", "link", "answer", "event", "adverts"):
            subject = bus.subjects.of_site("home", kind, "viewer", "1")
            assert await refused(bus, subject, b"{}")
        for _ in range(2):
            await bus.client.publish(subject, b"{}")
        with pytest.raises(ClusterError, match="may not be allowed to ask"):
            await bus.bucket(bus.subjects.leases, LEASE)
    told = [one.message for one in caplog.records if subject in one.message]
    assert len(told) == 1
    assert "`proxyconn doctor` says what is missing" in told[0]


async def test_viewer_has_nobody_write_for_it(owned: Cluster, users: Users) -> None:
    """What an owner answers goes to who asks, and nowhere that only the owner may write."""
    written: list[Msg] = []

    async def hear(msg: Msg) -> None:
        if KV_OP in (msg.headers or {}) or b"proxies" in msg.data:
            written.append(msg)

    async with (
        opened(users.settings(WIRETAP), "wiretap") as tap,
        opened(users.settings("VIEWER"), "viewer") as bus,
    ):
        await tap.subscribe("$KV.>", hear)
        ((_, proxy),) = (await survey(bus)).proxies()
        await tap.client.flush()
        subjects = bus.subjects
        for bucket in (subjects.leases, subjects.owners, subjects.seen, subjects.wishes):
            lease = f"$KV.{bucket}.{proxy.mac}"
            for said in (None, {KV_OP: "DEL"}):
                asked = bus.subjects.ask_owners()
                await bus.client.publish(asked, b"{}", reply=lease, headers=said)
        assert (await survey(bus)).proxies(), "answered after what was asked before"
        await tap.client.flush()
        await asyncio.sleep(0.1)
    assert written == []


async def test_another_fleet_is_closed(owned: Cluster, users: Users) -> None:
    """Nobody of one fleet says anything in another one."""
    for role in ROLES:
        async with opened(users.settings(role, fleet="hotel"), "x") as bus:
            assert await refused(bus, bus.subjects.ask_owners(), b"{}")


async def test_stranger(users: Users, tmp_path: Path) -> None:
    """Who has no key, or another one, does not come in."""
    other = tmp_path / "stranger"
    await asyncio.to_thread(other.mkdir)
    _, files = await asyncio.to_thread(make_keys, other)
    for settings in (
        ClusterSettings((users.server.url,)),
        ClusterSettings((users.server.url,), nkey=files["OWNER"]),
    ):
        with pytest.raises(ClusterError, match="refuses us"):
            async with opened(settings, "stranger"):
                pass


async def test_permissions_of_a_domain(
    make_server: MakeServer, cluster: Cluster, tmp_path: Path
) -> None:
    """With a domain the configuration lets an owner own by the bucket names that the page says."""
    public, files = await asyncio.to_thread(make_keys, tmp_path)
    text = await asyncio.to_thread(from_page, public)
    text = text.replace("proxyconn_v1_house_", "proxyconn_v1_house_north_")
    server = await make_server(text, domain="north")
    await cluster.build(["attic"], [peripheral(1, attic=-50)])
    member = await cluster.owner("a", server=server, nkey=files["OWNER"], domain="north")
    await until(lambda: member.ready == {"attic"})
    settings = Users(server, files).settings("CLIENT", domain="north")
    async with Fleet(cluster=settings, state=None, owner=False) as fleet:
        client = await connect(fleet)
        assert await client.read_gatt_char(READ) == b"value 1"
        await client.disconnect()


async def test_credentials_that_were_replaced(owned: Cluster, users: Users) -> None:
    """A connection that is made anew is made by what the file says by then."""
    async with opened(users.settings("CLIENT"), "program") as bus:
        first, subject = bus.client, bus.subjects.of_all("ask")
        assert not await refused(bus, subject, b"{}")
        viewer = await asyncio.to_thread(users.files["VIEWER"].read_bytes)
        await asyncio.to_thread(users.files["CLIENT"].write_bytes, viewer)
        await first.close()
        await until(lambda: bus.client is not first and bus.connected)
        assert await refused(bus, subject, b"{}")


async def test_no_key_is_on_the_bus(
    users: Users, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Who hears everything hears no key of a proxy and no seed, nor are they in any log."""
    caplog.set_level(logging.DEBUG)
    heard: list[bytes] = []

    async def hear(msg: Msg) -> None:
        said = [msg.subject, msg.reply, *(msg.headers or {}), *(msg.headers or {}).values()]
        heard.append(" ".join(said).encode() + b" " + msg.data)

    async with opened(users.settings(WIRETAP), "wiretap") as tap:
        await tap.subscribe(">", hear)
        await cluster.build(["attic", "hall"], [peripheral(1, attic=-50)])
        options: dict[str, Any] = {"server": users.server, "nkey": users.files["OWNER"]}
        members = [await cluster.owner(name, **options) for name in ("a", "b")]
        await until(lambda: cluster.shared_out(["attic", "hall"]))
        async with Fleet(cluster=users.settings("CLIENT"), state=None, owner=False) as fleet:
            client = await connect(fleet)
            assert await client.read_gatt_char(READ) == b"value 1"
            await client.disconnect()
        await survey(tap)
        await cluster.leave(members[0])
        await asyncio.sleep(SECOND)
    told = b"\n".join(heard)
    assert b"value 1" in told or base64.b64encode(b"value 1") in told
    raw = base64.b64decode(KEY)
    seeds = [await asyncio.to_thread(file.read_text) for file in users.files.values()]
    for secret in (
        KEY.encode(),
        raw,
        raw.hex().encode(),
        *(seed.strip().encode() for seed in seeds),
    ):
        assert secret not in told
        assert secret.decode("latin-1") not in caplog.text


def token(key: nkeys.KeyPair, subject: str, kind: str, name: str, more: dict[str, Any]) -> str:
    """Return a JWT as nsc makes them: `key` vouches for `subject`."""

    def part(value: dict[str, Any]) -> bytes:
        text = json.dumps(value, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=")

    claims = {
        "jti": secrets.token_hex(16),
        "iat": int(time.time()),
        "iss": key.public_key.decode(),
        "name": name,
        "sub": subject,
        "nats": {"type": kind, "version": 2, **more},
    }
    signed = part({"typ": "JWT", "alg": "ed25519-nkey"}) + b"." + part(claims)
    signature = base64.urlsafe_b64encode(key.sign(signed)).rstrip(b"=")
    return (signed + b"." + signature).decode()


def pair(kind: int) -> nkeys.KeyPair:
    """Return a new key pair."""
    return nkeys.from_seed(nkeys.encode_seed(secrets.token_bytes(32), kind))


async def test_credentials_file(make_server: MakeServer, cluster: Cluster, tmp_path: Path) -> None:
    """A credentials file as nsc writes it lets its owner in, where an operator's server asks it."""
    operator = pair(nkeys.PREFIX_BYTE_OPERATOR)
    account, user = pair(nkeys.PREFIX_BYTE_ACCOUNT), pair(nkeys.PREFIX_BYTE_USER)
    account_id, user_id = account.public_key.decode(), user.public_key.decode()
    unlimited = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1}
    store = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    limits = {"limits": {**unlimited, **store, "exports": -1, "wildcards": True}}
    vouched = token(operator, account_id, "account", "hotel", limits)
    of_user = token(account, user_id, "user", "owner", {"subs": -1, "data": -1, "payload": -1})
    file = tmp_path / "owner.creds"
    text = (
        f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    await asyncio.to_thread(file.write_text, text)
    system = pair(nkeys.PREFIX_BYTE_ACCOUNT).public_key.decode()
    said = token(operator, operator.public_key.decode(), "operator", "we", {})
    known = f"{account_id}: {vouched}, {system}: {token(operator, system, 'account', 'sys', {})}"
    server = await make_server(
        f"operator: {said}\nsystem_account: {system}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {known} }}"
    )
    await cluster.build(["attic"])
    member = await cluster.owner("a", server=server, credentials=file)
    await until(lambda: member.ready == {"attic"})
    with pytest.raises(ClusterError, match="refuses us"):
        async with opened(ClusterSettings((server.url,)), "stranger"):
            pass
