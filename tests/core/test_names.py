"""What radios are called, and whom a name means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from proxyconn.radio_names import RadioName, entry_for, tell_apart

MAC, TWIN, NEAR_TWIN = "aabbccddc002", "aabbccddc001", "aabbcc00c001"


def radio(name: str, mac: str | None = None, place: str = "10.0.0.7:6053") -> RadioName:
    """Return what there is to call a radio by."""
    return RadioName(name, mac, place)


@pytest.mark.parametrize(
    ("radios", "labels"),
    [
        ([radio("cellar", MAC), radio("attic", TWIN)], ["cellar", "attic"]),
        ([radio("cellar", MAC), radio("cellar", TWIN)], ["cellar", "cellar (c0:01)"]),
        (
            [radio("cellar", MAC), radio("cellar", TWIN), radio("cellar", NEAR_TWIN)],
            ["cellar", "cellar (c0:01)", "cellar (00:c0:01)"],
        ),
        ([radio("cellar", MAC), radio("cellar")], ["cellar", "cellar (10.0.0.7:6053)"]),
        ([radio("hci0", MAC)], ["hci0 (c0:02)"]),
        (
            [radio("10.0.0.7:6053")] * 3,
            [
                "10.0.0.7:6053",
                "10.0.0.7:6053 (10.0.0.7:6053)",
                "10.0.0.7:6053 (10.0.0.7:6053, 2)",
            ],
        ),
    ],
)
def test_labels_differ(radios: list[RadioName], labels: list[str]) -> None:
    """The first one of a name keeps it; nothing is called like a local adapter."""
    assert tell_apart(radios) == labels


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("aa:bb:cc:dd:c0:02", True),
        ("AA-BB-CC-DD-C0-02", True),
        ("AABBCCDDC002", True),
        ("cellar (c0:02)", True),
        ("cellar (DD:C0:02)", True),
        ("cellar (02)", False),
        ("cellar (c0:01)", False),
        ("attic (c0:02)", False),
        ("cellar", False),
        ("aa:bb:cc:dd:c0:01", False),
    ],
)
def test_mac_and_long_form_mean_one_radio(text: str, means: bool) -> None:
    """However they are spelled; the name alone is for whoever is called so."""
    assert radio("cellar", MAC).answers_to(text) is means


class WithDefault(Mapping[str, str]):
    """A table that has an entry for everything, and tells of one."""

    def __getitem__(self, name: str) -> str:
        return {"cellar": "own"}.get(name, "default")

    def __iter__(self) -> Iterator[str]:
        return iter(["cellar"])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("entries", "name", "entry"),
    [
        ({"cellar": "name", "cellar (c0:02)": "long"}, "cellar", "long"),
        ({"cellar": "name", "AA:BB:CC:DD:C0:02": "mac"}, "cellar", "mac"),
        ({"cellar": "name", "cellar (c0:01)": "twin"}, "cellar", "name"),
        ({"cellar": "name"}, "cellar-2", "name"),
        ({"cellar": "name", "cellar-2": "own"}, "cellar-2", "own"),
        ({"cellar": "name", "cellar (c0:02)": "long"}, "cellar-2", "long"),
        ({"cellar": "name"}, "attic", None),
        (WithDefault(), "cellar-2", "own"),
        (WithDefault(), "attic", "default"),
    ],
)
def test_entry_of_a_table(entries: Mapping[str, str], name: str, entry: str | None) -> None:
    """The most exact one counts; a name that mDNS changed is the name that it changed."""
    assert entry_for(entries, name, MAC) == entry
