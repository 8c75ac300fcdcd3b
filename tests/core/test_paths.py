"""The score of a path: every part of it, and the choices that follow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxyconn import RSSI_SWITCH_THRESHOLD, Path, RadioState
from proxyconn.routing.path_score import (
    AVOID_DB,
    CROWDED_DB,
    DB_PER_SECOND,
    FAILURE_DB,
    LOUD,
    MOST_FAILURES,
    PREFER_DB,
    RADIO_FAILURE_DB,
    REFUSED_DB,
    STALE_DB,
    explain,
    rank,
    score_parts,
)
from proxyconn.routing.pins import Pin, pins_by_address

NEAR = Path("near", -50, 1.0, RadioState.READY, connectable=True, slots=3, free=3)
FAR = replace(NEAR, source="far", rssi=-78)


def best(*paths: Path) -> str:
    """Return the name of the radio that is taken."""
    return min(paths, key=rank).source


@pytest.mark.parametrize(
    ("change", "reason", "db"),
    [
        ({"rssi": -90}, "signal", -90),
        ({"incumbent": True}, "present path", RSSI_SWITCH_THRESHOLD),
        ({"wait": 1.5}, "wait", -1.5 * DB_PER_SECOND),
        ({"free": 2}, "crowded", -CROWDED_DB / 2),
        ({"free": 1}, "crowded", -CROWDED_DB),
        ({"failures": 0.5}, "failed here", -FAILURE_DB / 2),
        ({"failures": 9.0}, "failed here", -FAILURE_DB * MOST_FAILURES),
        ({"radio_failures": 2.0}, "radio fails", -RADIO_FAILURE_DB * 2),
        ({"refused": True}, "no bond", -REFUSED_DB),
        ({"age": 300.0}, "not heard lately", -STALE_DB),
        ({"pin": Pin.PREFERRED}, "preferred", PREFER_DB),
        ({"pin": Pin.AVOIDED}, "avoided", AVOID_DB),
    ],
)
def test_each_part_of_a_score(change: dict[str, object], reason: str, db: float) -> None:
    """A change of one property is one part of the score, and nothing else."""
    path = replace(FAR, **change)  # type: ignore[arg-type]
    parts = {part.reason: part.db for part in score_parts(path)}
    assert parts.pop(reason) == pytest.approx(db)
    assert parts == ({} if reason == "signal" else {"signal": FAR.rssi})
    assert path.score == pytest.approx(db + sum(parts.values()))


def test_more_than_enough_counts_little() -> None:
    """Beyond what makes a good link, a stronger signal is worth no long wait."""
    loud = replace(NEAR, rssi=LOUD + 20)
    parts = {part.reason: part.db for part in score_parts(loud)}
    assert parts == {"signal": LOUD + 20, "more than enough": -18}
    assert best(loud, replace(loud, source="free", rssi=LOUD + 8)) == "near"
    assert best(replace(loud, wait=0.5), replace(loud, source="free", rssi=LOUD + 8)) == "free"


def test_another_path_must_be_better_by_the_threshold() -> None:
    """Hysteresis: less than five dB changes nothing, five dB do."""
    present = replace(FAR, incumbent=True)
    assert best(present, replace(FAR, source="other", rssi=FAR.rssi + 4)) == "far"
    assert best(present, replace(FAR, source="other", rssi=FAR.rssi + 5)) == "other"


def test_a_path_that_just_failed_is_not_kept() -> None:
    """The present path loses its advantage with its failure, whatever its signal."""
    failed = replace(NEAR, rssi=-30, incumbent=True, failures=1.0)
    assert best(failed, replace(FAR, rssi=-88)) == "far"
    assert best(failed, replace(FAR, rssi=-88, failures=1.0)) == "near"


def test_a_busy_near_radio_beats_an_idle_far_one() -> None:
    """No detour of 28 dB because the near proxy is busy for a second (ha-ef-ble issue 445)."""
    busy = replace(NEAR, connecting=1, wait=1.0)
    full = replace(NEAR, free=0, wait=1.0)
    assert best(busy, FAR) == "near"
    assert best(full, FAR) == "near"
    assert best(replace(full, wait=10.0), FAR) == "far"


def test_required_and_bonded_radios_shut_out_the_others() -> None:
    """What cannot be used comes last and says why."""
    assert best(replace(NEAR, pin=Pin.EXCLUDED), replace(FAR, pin=Pin.REQUIRED)) == "far"
    assert best(replace(NEAR, bonded_elsewhere=True), FAR) == "far"
    assert replace(NEAR, pin=Pin.EXCLUDED).obstacle == "another radio is required"
    assert replace(NEAR, state=RadioState.ROBBED).obstacle == "it is robbed"
    assert replace(NEAR, state=RadioState.SILENT).usable
    assert replace(NEAR, connectable=False).obstacle == "it does not connect"
    assert replace(NEAR, bonded_elsewhere=True).obstacle == "the bond is with another radio"


@pytest.mark.parametrize(
    ("slots", "free", "db"),
    [(None, 1, 0.0), (3, None, 0.0), (1, 0, 0.0), (2, 1, 1.0), (2, 0, 1.0), (3, 2, 0.5)],
)
def test_crowding_counts_between_several_slots(
    slots: int | None, free: int | None, db: float
) -> None:
    """A radio that does not report slots, or has a single one, is not crowded; one that is full
    is no more so than one with a last slot."""
    path = replace(FAR, slots=slots, free=free)
    assert path.score == pytest.approx(FAR.rssi - CROWDED_DB * db)


def test_a_radio_whose_report_is_missing_has_a_slot() -> None:
    """As far as it tells."""
    assert replace(NEAR, free=None).has_slot
    assert replace(NEAR, free=1).has_slot
    assert not replace(NEAR, free=0).has_slot


def test_a_path_is_stale_beyond_its_patience() -> None:
    """Not at it."""
    assert not replace(NEAR, age=NEAR.patience).stale
    assert replace(NEAR, age=NEAR.patience + 0.1).stale


def test_the_present_path_is_kept_while_it_works_and_is_free() -> None:
    """A failure that has faded by half no longer counts, a fresh one and any wait do."""
    present = replace(NEAR, incumbent=True)
    assert present.keeps
    assert not NEAR.keeps
    assert replace(present, failures=0.4).keeps
    assert not replace(present, failures=0.5).keeps
    assert not replace(present, wait=0.1).keeps


def test_pins_are_known_by_any_spelling_of_the_address() -> None:
    """Colons, dashes and capitals of an address do not matter; one name needs no list."""
    pins = pins_by_address({"c4-00-00-00-00-01": "attic"}, {"C40000000001": ["garage"]}, None)
    assert pins["C4:00:00:00:00:01"].pin("attic") is Pin.PREFERRED
    assert pins["C4:00:00:00:00:01"].pin("garage") is Pin.AVOIDED
    assert pins["C4:00:00:00:00:01"].pin("kitchen") is Pin.NEUTRAL


def test_explanations_name_what_decided() -> None:
    """A person reads why the winner won."""
    assert explain([NEAR, FAR]) == "near leads far by 14 dB (signal +28, more than enough -14)."
    failed = replace(NEAR, failures=1.0)
    assert (
        explain([FAR, failed])
        == "far leads near by 46 dB (failed here +60, more than enough +14, signal -28)."
    )
    assert explain([NEAR]) == "near is the only radio that can be used for it."
    gone = replace(NEAR, state=RadioState.GONE)
    assert explain([gone]) == "No path can be used: near is the nearest, but it is gone."


def test_no_path_at_all() -> None:
    """The last radio that heard a device may leave while somebody looks."""
    assert explain([]) == "There is no path: no radio hears it any more."
