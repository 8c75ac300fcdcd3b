"""The web page: what is sent, and that nothing in it could be turned against its user."""

from __future__ import annotations

import re
from typing import Any

import aiohttp
import pytest

from proxyconn_web.decoding import BTHOME, EDDYSTONE, decoded
from proxyconn_web.static import page_files

from .conftest import House, MakeHouse
from .test_api import WEB

FILES = page_files()
SAID: dict[str, Any] = {
    "manufacturer_data": {},
    "service_data": {},
    "service_uuids": [],
    "tx_power": None,
}


async def test_page_is_sent_without_a_token_and_keeps_to_itself(make_house: MakeHouse) -> None:
    """Every file comes with a policy that lets a browser ask nobody else, and run nothing else."""
    house: House = await make_house(names=(), serve=WEB)
    assert house.owner.web
    async with aiohttp.ClientSession(house.owner.web.url) as session:
        for path in FILES:
            async with session.get(path) as response:
                assert response.status == 200
                policy = response.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
        async with session.get("/page/../server.py") as response:
            assert response.status == 401
        async with session.get("/", headers={"Host": "rebound.example"}) as response:
            assert response.status == 421


def test_nothing_in_the_page_makes_markup_of_text_or_asks_elsewhere() -> None:
    """What devices say is set as text; scripts and styles come from here alone."""
    names = set(FILES)
    assert len(names) > 15
    for path, (content, _) in FILES.items():
        text = content.decode()
        bad = (
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|srcdoc| on\w+="
        )
        assert re.findall(bad, text) == [], path
        others = {url for url in re.findall(r"https?://[^\s\"'`)]+", text) if "w3.org" not in url}
        assert others == set(), path
        for imported in re.findall(r'from "(\.[^"]+)"', text):
            folder = path.rpartition("/")[0]
            target = f"{folder}/{imported}".replace("/./", "/")
            assert re.sub(r"/[^/]+/\.\./", "/", target) in names, (path, imported)


@pytest.mark.parametrize(
    ("part", "key", "data", "form", "name", "values"),
    [
        (
            "manufacturer_data",
            "0x004c",
            "0215" + "00112233445566778899aabbccddeeff" + "00010002c5",
            "iBeacon",
            "Apple, Inc.",
            {
                "uuid": "00112233-4455-6677-8899-aabbccddeeff",
                "major": 1,
                "minor": 2,
                "dBm at 1 m": -59,
            },
        ),
        (
            "manufacturer_data",
            "0x0059",
            "01ff",
            "manufacturer data",
            "Nordic Semiconductor ASA",
            {"hex": "01 ff"},
        ),
        (
            "service_data",
            EDDYSTONE,
            "10ee03" + "657370686f6d6507" + "61",
            "Eddystone",
            "Google",
            {"url": "https://esphome.coma"},
        ),
        (
            "service_data",
            BTHOME,
            "4002c40903bf13ff00",
            "BTHome",
            None,
            {"temperature": "25 °C", "humidity": "50.55 %", "more": "00"},
        ),
        ("service_data", BTHOME, "4102", "BTHome", None, {"encrypted": "yes"}),
        ("service_data", EDDYSTONE, "", "service data", "Google", {"hex": ""}),
    ],
)
def test_what_devices_say_is_decoded(
    part: str, key: str, data: str, form: str, name: str | None, values: dict[str, object]
) -> None:
    """Known formats are read; what is not known, or cut off, is shown as it is."""
    (row,) = decoded({**SAID, part: {key: data}})
    assert (row["format"], row["values"]) == (form, values)
    if name:
        assert row["name"] == name
