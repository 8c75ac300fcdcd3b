"""Who gets nothing from the owner's web server, and what is written down about it: nothing."""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from proxyconn.fleet.owner_socket import SOCKET
from proxyconn_owner.identity import FILE, load_identity
from proxyconn_owner.settings import Listen, ServeSettings, parse_origin
from proxyconn_owner.single import only_owner
from proxyconn_web.access import (
    COOKIE,
    MOST_SESSIONS,
    ONE_TIME_SECONDS,
    PAGE_HEADER,
    Access,
    Right,
    TokenError,
    Tokens,
    load_tokens,
)
from proxyconn_web.server import WebServer

from .conftest import DEADLINE, House, MakeHouse

ACT, READ = "act-token-0123456789", "read-token-0123456789"
SNAPSHOT, EVENTS = "/api/v1/snapshot", "/api/v1/events"
PUBLIC = "https://proxies.example"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def web(make_house: MakeHouse, tmp_path: Path) -> WebServer:
    """Serve a fleet without radios, with known tokens."""
    file = tmp_path / "tokens"
    await asyncio.to_thread(file.write_text, f"{ACT}\n{READ}\n")
    listen = Listen("127.0.0.1", 0)
    house: House = await make_house(names=(), serve={"web": listen, "web_token_file": file})
    assert house.owner.web
    return house.owner.web


async def status(
    web: WebServer,
    path: str = SNAPSHOT,
    *,
    method: str = "GET",
    token: str | None = None,
    cookie: str | None = None,
    body: str | None = None,
    **headers: str,
) -> int:
    """Return how a request is answered."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    if cookie is not None:
        sent["Cookie"] = cookie
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    async with (
        aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.request(method, web.url + path, headers=sent, data=body) as response,
    ):
        return response.status


async def test_without_the_token_nothing_is_answered(
    web: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    """No token, a wrong one, half of one, another scheme: 401, whatever is asked for."""
    caplog.set_level(logging.DEBUG)
    for path in (SNAPSHOT, EVENTS, "/api/v1/devices/C4:00:00:00:00:01", "/api/v1/nothing"):
        assert await status(web, path) == 401
        assert await status(web, path, token="wrong") == 401
        assert await status(web, path, token=ACT[:-1]) == 401
        assert await status(web, path, token="") == 401
        assert await status(web, path, Authorization=f"Basic {ACT}") == 401
        assert await status(web, path, cookie="proxyconn_session=") == 401
    assert await status(web, f"{SNAPSHOT}?token={ACT}") == 401
    assert await status(web, "/api/v1/actions/disconnect", method="POST", body="{}") == 401
    assert await status(web, token=ACT) == 200
    assert ACT not in caplog.text
    assert READ not in caplog.text


async def test_nonsense_is_refused_without_a_word_in_the_log(
    web: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no text, or no JSON in whatever way, is refused as any wrong token is."""
    nonsense = b"GET /api/v1/snapshot HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer \xff\r\n\r\n"
    reader, writer = await asyncio.open_connection(web.host, web.port)
    writer.write(nonsense % f"{web.host}:{web.port}".encode())
    async with asyncio.timeout(DEADLINE):
        assert b" 401 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    for body in ('{"token": "\\ud800"}', "[" * 16_000, "{}", "[]"):
        assert await status(web, "/api/v1/session", method="POST", body=body, **JSON) == 401
    encoded = {"Content-Type": "application/json; charset=nonsense"}
    assert await status(web, "/api/v1/session", method="POST", body="{}", **encoded) == 401
    action = "/api/v1/actions/disconnect"
    for body in ("[" * 16_000, "nonsense"):
        assert await status(web, action, method="POST", body=body, token=ACT, **JSON) == 400
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_read_only_token_cannot_act(web: WebServer) -> None:
    """It sees everything; an action is refused before it is even looked at."""
    act = "/api/v1/actions/resubscribe"
    body = '{"source": "kitchen"}'
    assert await status(web, token=READ) == 200
    assert await status(web, act, method="POST", token=READ, body=body, **JSON) == 403
    assert await status(web, act, method="POST", token=ACT, body=body, **JSON) == 503


@asynccontextmanager
async def logged_in(web: WebServer) -> AsyncIterator[tuple[aiohttp.ClientSession, dict[str, str]]]:
    """Log in as the page does; yield what has its cookie, and the header that shows its half."""
    token = web.page_url().partition("#token=")[2]
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(web.url, timeout=timeout, cookie_jar=jar) as session:
        async with session.post("/api/v1/session", json={"token": token}) as response:
            assert response.status == 200
            cookie = response.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert token not in cookie
            page = (await response.json())["page"]
            assert page not in cookie
        async with session.post("/api/v1/session", json={"token": token}) as response:
            assert response.status == 401
        yield session, {PAGE_HEADER: page}


async def test_session_of_the_page(web: WebServer) -> None:
    """Its one-time token is good for one session, whose cookie no script and no site gets at."""
    async with logged_in(web) as (session, page):
        async with session.get(SNAPSHOT, headers=page) as response:
            assert response.status == 200
        async with session.delete("/api/v1/session", headers=page) as response:
            assert response.status == 200
        async with session.get(SNAPSHOT, headers=page) as response:
            assert response.status == 401


async def test_half_of_a_session_opens_nothing(web: WebServer) -> None:
    """Browsers send the cookie to each server of this host: whoever has only that has nothing."""
    async with logged_in(web) as (session, page):
        act = "/api/v1/actions/resubscribe"
        for half in ({}, {PAGE_HEADER: ""}, {PAGE_HEADER: "guessed"}):
            for path in (SNAPSHOT, EVENTS, "/metrics", "/api/v1/session"):
                async with session.get(path, headers=half) as response:
                    assert response.status == 401
            async with session.post(act, json={"source": "kitchen"}, headers=half) as response:
                assert response.status == 401
            async with session.delete("/api/v1/session", headers=half) as response:
                assert response.status == 401
        session.cookie_jar.update_cookies({COOKIE: "of another owner"})
        async with session.post(act, json={"source": "kitchen"}, headers=page) as response:
            assert response.status == 503
        session.cookie_jar.clear()
        async with session.get(SNAPSHOT, headers=page) as response:
            assert response.status == 401


async def test_owners_on_one_host_have_a_session_each(make_house: MakeHouse) -> None:
    """Cookies know no port: the names of two owners' differ."""
    serve = {"web": Listen("127.0.0.1", 0)}
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        pages = []
        for _ in range(2):
            house: House = await make_house(names=(), serve=serve)
            web = house.owner.web
            assert web
            token = {"token": web.page_url().partition("#token=")[2]}
            async with session.post(f"{web.url}/api/v1/session", json=token) as response:
                pages.append((web.url, {PAGE_HEADER: (await response.json())["page"]}))
        for url, page in pages:
            async with session.get(url + SNAPSHOT, headers=page) as response:
                assert response.status == 200


async def test_pages_of_other_sites_are_refused(web: WebServer) -> None:
    """A foreign origin, or a request that a browser says is another site's: 403, with any token."""
    for path in (SNAPSHOT, EVENTS):
        assert await status(web, path, token=ACT, Origin="http://evil.example") == 403
        assert await status(web, path, token=ACT, Origin="null") == 403
        assert await status(web, path, token=ACT, Sec_Fetch_Site="cross-site") == 403
        assert await status(web, path, token=ACT, Sec_Fetch_Site="same-site") == 403
    assert await status(web, token=ACT, Origin=web.url, Sec_Fetch_Site="same-origin") == 200
    act = "/api/v1/actions/resubscribe"
    # What a form of another site could send without asking first.
    form = {"Content-Type": "text/plain"}
    body = '{"source": "kitchen"}'
    assert await status(web, act, method="POST", token=ACT, body=body, **form) == 415


def test_who_may_only_look_logs_nobody_out_who_may_act() -> None:
    """However often."""
    access = Access(Tokens(ACT, READ), "127.0.0.1")
    admin = access.open_session(ACT)
    assert admin
    for _ in range(2 * MOST_SESSIONS):
        assert access.open_session(READ)
    request = make_mocked_request(
        "GET", SNAPSHOT, {"Cookie": f"{COOKIE}={admin.cookie}", PAGE_HEADER: admin.page}
    )
    assert access.right_of(request) is Right.ACT
    access.open_session(ACT)
    for _ in range(MOST_SESSIONS - 1):
        access.open_session(ACT)
    assert access.right_of(request) is Right.NOTHING


@pytest.fixture
async def behind_tls(make_house: MakeHouse, tmp_path: Path) -> WebServer:
    """Serve a fleet without radios, behind a server that has TLS."""
    file = tmp_path / "tokens"
    await asyncio.to_thread(file.write_text, f"{ACT}\n{READ}\n")
    serve = {"web": Listen("127.0.0.1", 0), "web_token_file": file, "web_origin": PUBLIC}
    house: House = await make_house(names=(), serve=serve)
    assert house.owner.web
    return house.owner.web


async def test_server_before_this_one_is_known_by_its_origin_alone(behind_tls: WebServer) -> None:
    """Its page may ask, whether it passes its name on or not; no other page may, nor over http."""
    host = PUBLIC.removeprefix("https://")
    for passed in ({"Host": host}, {}):
        same = {"Origin": PUBLIC, "Sec_Fetch_Site": "same-origin", **passed}
        assert await status(behind_tls, token=ACT, **same) == 200
        for evil in ("https://evil.example", PUBLIC.replace("https", "http"), f"{PUBLIC}:444"):
            expected = 200 if passed and evil.startswith("http:") else 403
            assert await status(behind_tls, token=ACT, Origin=evil, **passed) == expected
    assert await status(behind_tls, token=ACT, Host="evil.example", Origin=PUBLIC) == 421
    assert behind_tls.page_url().startswith(f"{PUBLIC}/#token=")


async def test_cookie_of_a_page_over_tls_is_never_sent_in_the_clear(behind_tls: WebServer) -> None:
    """Whoever logs in by TLS gets a cookie for TLS; who does on loopback, one that works."""
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    async with aiohttp.ClientSession(behind_tls.url, timeout=timeout) as session:
        for origin, secure in ((PUBLIC, True), (behind_tls.url, False)):
            async with session.post(
                "/api/v1/session", json={"token": ACT}, headers={"Origin": origin}
            ) as response:
                assert response.status == 200
                assert ("Secure" in response.headers["Set-Cookie"]) is secure


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Proxies.Example/", "https://proxies.example"),
        ("https://proxies.example:443", "https://proxies.example"),
        ("http://10.0.0.2:8080", "http://10.0.0.2:8080"),
        ("https://[fe80::1]:8443", "https://[fe80::1]:8443"),
        ("https://proxies.example/path", None),
        ("https://user@proxies.example", None),
        ("proxies.example", None),
        ("https://proxies.example:99999", None),
        ("https://proxies.example:0", None),
        ("https://proxies.example:0443", "https://proxies.example"),
        ("https://[:::::]", None),
        ("*", None),
    ],
)
def test_origins(text: str, origin: str | None) -> None:
    """One is taken as browsers write it; what could be no origin is refused."""
    if origin is None:
        with pytest.raises(ValueError, match="is not like https"):
            parse_origin(text)
    else:
        assert parse_origin(text) == origin


async def test_rebound_name_is_refused(web: WebServer) -> None:
    """A name of somebody's that points here is told by the Host header: 421, even with a token."""
    for host in ("evil.example", f"evil.example:{web.port}", "127.0.0.1.evil.example", ""):
        assert await status(web, token=ACT, Host=host) == 421, host
        assert await status(web, EVENTS, token=ACT, Host=host) == 421
    assert await status(web, token=ACT, Host=f"localhost:{web.port}") == 200


async def test_answers_keep_to_themselves(web: WebServer) -> None:
    """No answer may be kept, framed, guessed at, or read by another site's page."""
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    bearer = {"Authorization": f"Bearer {ACT}"}
    for path, sent in ((SNAPSHOT, bearer), (EVENTS, bearer), (SNAPSHOT, {})):
        async with (
            aiohttp.ClientSession(web.url, timeout=timeout) as session,
            session.get(path, headers=sent) as response,
        ):
            headers = response.headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


async def test_socket_and_its_folder_are_their_owners(make_house: MakeHouse) -> None:
    """Nobody else may open the Unix socket, or look into the folder that it is in."""
    house: House = await make_house(names=())
    mode = (await asyncio.to_thread((house.folder / SOCKET).stat)).st_mode
    assert stat.S_IMODE(mode) == 0o600

    def folder_mode() -> int:
        with only_owner(house.folder / "runtime"):
            return (house.folder / "runtime").stat().st_mode

    assert stat.S_IMODE(await asyncio.to_thread(folder_mode)) == 0o700


def test_tokens_are_made_once_and_kept_from_others(tmp_path: Path) -> None:
    """The file that is made is its owner's alone; what is in it is shown by no repr."""
    file = tmp_path / "state" / "web-token"
    tokens = load_tokens(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_tokens(file) == tokens
    assert tokens.read
    assert tokens.act not in repr(tokens)
    assert tokens.act != tokens.read
    assert "token" in repr(ServeSettings(web_token_file=file))


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o604, 0o666])
def test_tokens_that_others_can_read_are_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    """They are taken all the same; the warning says what to do, and none of them."""
    file = tmp_path / "tokens"
    file.write_text(f"{ACT}\n{READ}\n", encoding="ascii")
    file.chmod(mode)
    assert load_tokens(file) == Tokens(ACT, READ)
    assert (f"chmod 600 {file}" in caplog.text) is bool(mode & 0o077)
    assert ACT not in caplog.text


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_key_that_others_can_read_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    """The owner's own key is."""
    made, _ = load_identity(tmp_path)
    file = tmp_path / FILE
    file.chmod(mode)
    assert load_identity(tmp_path) == (made, None)
    assert (f"chmod 600 {file}" in caplog.text) is bool(mode & 0o077)
    assert made.noise_psk not in caplog.text


@pytest.mark.parametrize("text", ["", "short\n", f"{ACT}\n{READ}\n{READ}\n", "ä" * 20])
def test_file_without_a_good_token_is_refused(tmp_path: Path, text: str) -> None:
    """A token that could be guessed is none."""
    file = tmp_path / "tokens"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(TokenError, match=r"web token|must hold"):
        load_tokens(file)


def test_one_time_token_grows_old() -> None:
    """It opens nothing after an hour."""
    now = 0.0
    access = Access(Tokens(ACT, READ), "127.0.0.1", lambda: now)
    token = access.one_time_token()
    now = ONE_TIME_SECONDS + 1
    assert access.open_session(token) is None
    assert access.right_by_token(READ) is Right.READ


@pytest.mark.parametrize(
    ("listens", "host", "known"),
    [
        ("127.0.0.1", "192.168.1.5:8053", False),
        ("127.0.0.1", "[::1]:8053", True),
        ("0.0.0.0", "192.168.1.5:8053", True),
        ("0.0.0.0", "rebound.example", False),
        ("192.168.1.5", "192.168.1.5", True),
        ("192.168.1.5", "192.168.1.6", False),
        ("192.168.1.5", "[", False),
    ],
)
def test_hosts(listens: str, host: str, known: bool) -> None:
    """Addresses at which it listens are known; names of others are not, however they resolve."""
    assert Access(Tokens(ACT), listens).is_known_host(host) is known
