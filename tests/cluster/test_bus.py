"""The bus: connecting, what is said when that fails, and going on after a break."""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import nkeys
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from proxyconn_cluster.bus.connection import Bus, opened
from proxyconn_cluster.bus.credentials import identification
from proxyconn_cluster.bus.errors import ClusterError, NobodyThereError
from proxyconn_cluster.bus.messages import seconds_left
from proxyconn_cluster.settings import ClusterSettings

from .conftest import MakeBus, MakeServer
from .nats_server import NatsServer, free_port
from .village import until

USERS = "authorization { users: [ { user: somebody, password: pw } ] }"
DEADLINE = 10.0


async def refusal(settings: ClusterSettings) -> str:
    """Return what is said when there is no connection."""
    with pytest.raises(ClusterError) as caught:
        async with opened(settings, "tester"):
            pass
    return str(caught.value)


async def test_request_carries_its_deadline(bus: Bus) -> None:
    """Who answers knows how long the asker waits."""
    left: list[float] = []

    async def answer(msg: Msg) -> None:
        left.append(seconds_left(msg.headers, 99.0))
        await msg.respond(b"yes")

    await bus.subscribe("proxyconn.v1.house.home.x", answer)
    reply = await bus.request("proxyconn.v1.house.home.x", b"?", 1.5)
    assert (reply.data, left) == (b"yes", [1.5])


async def test_nobody_answers(bus: Bus) -> None:
    """A request that nobody hears fails at once, with the subject."""
    with pytest.raises(ClusterError, match="nobody answers on proxyconn"):
        await bus.request("proxyconn.v1.house.home.x", b"?", 5.0)


async def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server the error says where none is, and how to start one."""
    monkeypatch.setattr("proxyconn_cluster.bus.dialling.CONNECT_TIMEOUT", 0.6)
    url = f"nats://127.0.0.1:{free_port()}"
    said = await refusal(ClusterSettings((url,)))
    assert url in said
    assert "nats-server --jetstream" in said


async def test_refused(make_server: MakeServer, caplog: pytest.LogCaptureFixture) -> None:
    """A server that does not want us is not tried again, and the error says what to do."""
    caplog.set_level(logging.DEBUG)
    server = await make_server(USERS)
    async with asyncio.timeout(3.0):
        said = await refusal(ClusterSettings((server.url,)))
    assert "name the right credentials or nkey file" in said


async def test_jetstream_is_off(make_server: MakeServer, make_bus: MakeBus) -> None:
    """Where whose a proxy is cannot be kept, the error says how it can."""
    bus = await make_bus(await make_server(jetstream=False))
    with pytest.raises(ClusterError, match="start it with `nats-server --jetstream`"):
        await bus.bucket(bus.subjects.leases, 10.0)


async def test_broker_restarts(server: NatsServer, bus: Bus) -> None:
    """After the server was killed and started again, subscriptions go on."""
    heard = asyncio.Event()

    async def hear(msg: Msg) -> None:
        heard.set()

    await bus.subscribe("proxyconn.v1.house.home.x", hear)
    changes: list[bool] = []
    bus.register_state_callback(lambda: changes.append(bus.connected))
    await server.stop()
    await server.start()
    async with asyncio.timeout(DEADLINE):
        while changes != [False, True]:  # noqa: ASYNC110 - the callback must not be async
            await asyncio.sleep(0.01)
        await bus.publish("proxyconn.v1.house.home.x", b"")
        await heard.wait()


async def test_closed_with_something_unsent(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection closes, and hears nothing more, though what it had to say cannot be sent."""

    async def hear(msg: Msg) -> None:
        pass

    def unsendable(data: list[bytes]) -> None:
        # What asyncio's transport of Python 3.13 says once its connection has ended.
        raise AttributeError("'NoneType' object has no attribute '_add_writer'")

    await bus.subscribe("proxyconn.v1.house.home.x", hear)
    monkeypatch.setattr(vars(bus.client)["_transport"], "writelines", unsendable)
    await bus.publish("proxyconn.v1.house.home.x", b"unsent")
    await bus.aclose()
    assert bus.client.is_closed


async def test_given_up_for_good(server: NatsServer, bus: Bus) -> None:
    """Where nats-py gives up, another connection takes its place."""
    heard = asyncio.Event()

    async def hear(msg: Msg) -> None:
        heard.set()

    await bus.subscribe("proxyconn.v1.house.home.x", hear)
    first = bus.client
    await first.close()
    async with asyncio.timeout(DEADLINE):
        while bus.client is first or not bus.connected:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        while not heard.is_set():
            await bus.publish("proxyconn.v1.house.home.x", b"")
            await asyncio.sleep(0.01)


async def test_closed_while_it_begins_to_listen(
    server: NatsServer, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is lost before anything is heard over it is replaced as well."""
    heard = asyncio.Event()
    times: list[str] = []

    async def hear(msg: Msg) -> None:
        heard.set()

    async def subscribe(client: Client, subject: str, **options: Any) -> Subscription:
        times.append(subject)
        if len(times) == 1:
            await client.close()
        return await real(client, subject, **options)

    await bus.subscribe("proxyconn.v1.house.home.x", hear)
    real = Client.subscribe
    monkeypatch.setattr(Client, "subscribe", subscribe)
    await bus.client.close()
    async with asyncio.timeout(DEADLINE):
        while not heard.is_set():
            await bus.publish("proxyconn.v1.house.home.x", b"")
            await asyncio.sleep(0.01)
    assert len(times) == 2


async def test_not_used_before_it_is_connected(server: NatsServer, bus: Bus) -> None:
    """Whoever asks while a connection is replaced is told that there is none."""
    first = bus.client
    await first.close()
    while bus.client is first:
        with pytest.raises(ClusterError):
            await bus.request("proxyconn.v1.house.home.x", b"?", 1.0)
        await asyncio.sleep(0)
    with pytest.raises(NobodyThereError):
        await bus.request("proxyconn.v1.house.home.x", b"?", 1.0)


def certificate(folder: Path) -> tuple[Path, Path]:
    """Return the files of a certificate for 127.0.0.1, which has signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(pem))
    plain = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return cert_file, key_file


async def test_tls(make_server: MakeServer, make_bus: MakeBus, tmp_path: Path) -> None:
    """A server with TLS is spoken to if its certificate is known, and otherwise not at all."""
    cert, key = await asyncio.to_thread(certificate, tmp_path)
    server = await make_server(f'tls {{ cert_file: "{cert}", key_file: "{key}" }}')
    bus = await make_bus(server, ca=cert)
    assert await bus.gather("proxyconn.v1.house.home.x", b"", 1.0) == []
    async with asyncio.timeout(3.0):
        said = await refusal(ClusterSettings((server.url,)))
    assert "name the file with the certificate authority" in said
    assert "self-signed certificate" in said


async def test_server_without_tls_is_not_used(make_server: MakeServer, tmp_path: Path) -> None:
    """Who asks for TLS, by the URL or by a file, sends nothing to a server that has none."""
    server = await make_server()
    cert, _ = await asyncio.to_thread(certificate, tmp_path)
    tls = ClusterSettings((server.url.replace("nats://", "tls://"),))
    for settings in (tls, ClusterSettings((server.url,), ca=cert)):
        async with asyncio.timeout(3.0):
            assert "does not encrypt" in await refusal(settings)


async def test_server_that_comes_back_without_tls_is_not_used(
    make_server: MakeServer, make_bus: MakeBus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What had TLS at first must have it for every connection after that."""
    caplog.set_level(logging.DEBUG)
    cert, key = await asyncio.to_thread(certificate, tmp_path)
    server = await make_server(f'tls {{ cert_file: "{cert}", key_file: "{key}" }}')
    bus = await make_bus(server, ca=cert)
    await server.stop()
    encrypted, server.config = server.config, ""
    await server.start()
    await until(lambda: "NotEncryptedError" in caplog.text)
    assert not bus.connected
    await server.stop()
    server.config = encrypted
    await server.start()
    await until(lambda: bus.connected)


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("credentials", "SUANOTHING", "is no credentials file"),
        ("nkey", "# nothing", "is no nkey file"),
        ("nkey", "SUCUTSHORT", "has a seed that is none"),
        ("ca", "xyzzy", "cannot be used for TLS"),
    ],
)
async def test_wrong_files(tmp_path: Path, option: str, text: str, said: str) -> None:
    """A file that is not what it should be is named, and its content is not repeated."""
    file = tmp_path / "secret"
    await asyncio.to_thread(file.write_text, text)
    message = await refusal(ClusterSettings(("nats://127.0.0.1:1",), **{option: file}))  # type: ignore[arg-type]
    assert said in message
    assert str(file) in message
    assert text not in message.replace(str(file), "")


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_seed_that_others_can_read_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    """It is used all the same; the warning does not repeat it."""
    file = tmp_path / "secret"
    seed = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER).decode()
    file.write_text(seed)
    file.chmod(mode)
    settings = ClusterSettings(("nats://127.0.0.1:1",), nkey=file)
    assert identification(settings)["nkeys_seed_str"] == seed
    assert (f"chmod 600 {file}" in caplog.text) is (mode != 0o600)
    assert seed not in caplog.text
