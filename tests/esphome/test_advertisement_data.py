"""What a proxy's raw reports say: names, UUIDs, and which sort of name."""

from __future__ import annotations

import pytest

from proxyconn_esphome.advertisement_data import advertisement_data, has_shortened_name

SHORT, COMPLETE, UUIDS, MORE_UUIDS = 0x08, 0x09, 0x03, 0x02


def ad(kind: int, data: bytes) -> bytes:
    """Return an AD structure."""
    return bytes((len(data) + 1, kind)) + data


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"MEDI\0\0\0", "MEDI"),
        (b"RD200  ", "RD200"),
        (b"P \0 \0", "P"),
        (b"\0\0\0\0", None),
        (b"    ", None),
        (b" a b", " a b"),
        ("Küche".encode(), "Küche"),
    ],
)
@pytest.mark.parametrize("kind", [SHORT, COMPLETE])
def test_padding_is_no_part_of_a_name(raw: bytes, name: str | None, kind: int) -> None:
    """NULs and spaces fill it up; of NULs alone, there is none."""
    assert advertisement_data(ad(kind, raw)).local_name == name


@pytest.mark.parametrize("order", [1, -1])
def test_complete_beats_shortened(order: int) -> None:
    """In whatever order advertisement and scan response have them."""
    data = b"".join([ad(SHORT, b"Ket"), ad(COMPLETE, b"Kettle")][::order])
    assert advertisement_data(data).local_name == "Kettle"
    assert not has_shortened_name(data)


@pytest.mark.parametrize(
    ("data", "shortened"),
    [
        (ad(SHORT, b"Ket"), True),
        (ad(1, b"\x06") + ad(SHORT, b"Ket"), True),
        (b"\0\0" + ad(SHORT, b"Ket") + b"\0", True),
        (ad(SHORT, b"Ket") + ad(COMPLETE, b"Kettle")[:-1], True),
        (ad(COMPLETE, b"\x04\x08abc"), False),
        (ad(SHORT, b"Ket")[:-1], False),
        (b"", False),
        (b"\x05", False),
    ],
)
def test_which_sort_of_name(data: bytes, shortened: bool) -> None:
    """A structure that is cut off says nothing."""
    assert has_shortened_name(data) is shortened


def test_uuids_once_each_in_order() -> None:
    """Advertisement and scan response may both have one."""
    data = ad(UUIDS, b"\x0f\x18\x0a\x18") + ad(MORE_UUIDS, b"\x0a\x18\x00\x18\x0f\x18")
    assert [uuid[4:8] for uuid in advertisement_data(data).service_uuids] == [
        "180f",
        "180a",
        "1800",
    ]
