"""Which radios ask for scan responses, and when."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from proxyconn.fleet.scan_control import GAP, GAP_WHILE_AWAITED, SETTLE, WINDOW, ScanControl
from proxyconn.models import RadioState, ScanMode
from proxyconn.radio import Radio, ScanWish

pytestmark = pytest.mark.looptime

ACTIVE, PASSIVE, AUTO = ScanMode.ACTIVE, ScanMode.PASSIVE, ScanMode.AUTO


class Proxy:
    """A radio whose scan mode can be set."""

    scans_actively = None
    state = RadioState.READY

    def __init__(self, name: str = "kitchen", own: ScanMode | None = None) -> None:
        self.name = name
        self.own_scan_mode = own
        self.told: list[bool | None] = []
        self.active_for = 0.0
        self._since: float | None = None

    def set_scan_mode(self, active: bool | None) -> None:
        now = asyncio.get_running_loop().time()
        if self._since is not None:
            self.active_for += now - self._since
        self._since = now if active else None
        self.told.append(active)


def control(*proxies: Proxy, mode: ScanMode | None = None) -> ScanControl:
    """Return what controls these radios, all of which have joined."""
    radios = [cast(Radio, proxy) for proxy in proxies]
    made = ScanControl(lambda: radios, mode)
    for radio in radios:
        made.radio_renewed(radio)
    return made


async def test_left_alone_by_default() -> None:
    """Without a mode and a wish no radio is told anything."""
    proxy = Proxy()
    scan = control(proxy)
    scan.device_is_new()
    await asyncio.sleep(2 * GAP)
    assert proxy.told == []


@pytest.mark.parametrize(("mode", "active"), [(ACTIVE, True), (PASSIVE, False), (AUTO, False)])
async def test_modes(mode: ScanMode, active: bool) -> None:
    """A mode is set once; `auto` only listens while nobody needs more."""
    proxy = Proxy()
    scan = control(proxy, mode=mode)
    scan.apply()
    assert proxy.told == [active]


async def test_mode_of_one_radio() -> None:
    """One radio may scan in a mode of its own."""
    near, far = Proxy("near"), Proxy("far", own=ACTIVE)
    control(near, far, mode=PASSIVE)
    assert (near.told, far.told) == ([False], [True])


async def test_most_demanding_wish_counts_and_leaves() -> None:
    """Active beats passive; when the one who wished for it goes, so does the wish."""
    proxy = Proxy()
    scan = control(proxy, mode=PASSIVE)
    scan.wish("one", PASSIVE)
    scan.wish("two", ACTIVE)
    assert proxy.told == [False, True]
    scan.end_wish("two")
    assert proxy.told == [False, True, False]
    scan.end_wish("one")
    assert proxy.told == [False, True, False]


async def test_window_for_a_new_device() -> None:
    """A device that is new is asked for its scan response, once, and for no longer."""
    proxy = Proxy()
    scan = control(proxy, mode=AUTO)
    scan.device_is_new()
    await asyncio.sleep(SETTLE + 0.1)
    assert proxy.told == [False, True]
    await asyncio.sleep(WINDOW)
    assert proxy.told == [False, True, False]
    await asyncio.sleep(2 * GAP)
    assert proxy.told == [False, True, False]


async def test_phones_do_not_keep_the_house_awake() -> None:
    """New devices every few seconds open a window each GAP, under five per cent of the time."""
    proxy = Proxy()
    scan = control(proxy, mode=AUTO)
    for _ in range(720):
        scan.device_is_new()
        await asyncio.sleep(5)
    assert 0 < proxy.active_for / 3600 < 0.05
    scan.close()


async def test_name_that_is_awaited() -> None:
    """While a name is waited for, windows come more often; they end with the wait."""
    proxy = Proxy()
    scan = control(proxy, mode=AUTO)
    end = scan.await_name()
    await asyncio.sleep(3 * GAP_WHILE_AWAITED)
    assert proxy.told.count(True) == 3
    end()
    end()
    told = len(proxy.told)
    await asyncio.sleep(GAP)
    assert len(proxy.told) <= told + 2
    again = scan.await_name()
    await asyncio.sleep(SETTLE + 0.1)
    assert proxy.told[-1] is True
    again()
    scan.close()


async def test_radio_that_comes_back_is_told_again() -> None:
    """A session that is new is told how to scan, though the radio was told before."""
    proxy = Proxy()
    scan = control(proxy, mode=ACTIVE)
    scan.radio_renewed(cast(Radio, proxy))
    assert proxy.told == [True, True]


async def test_radio_without_modes(caplog: pytest.LogCaptureFixture) -> None:
    """A radio whose mode cannot be set is left alone, and that is said."""

    class Fixed:
        name = "hci0"

    scan = ScanControl(lambda: [cast(Radio, Fixed())], PASSIVE)
    with caplog.at_level("INFO"):
        scan.apply()
    assert "hci0" in caplog.text


async def test_wish_for_one_radio() -> None:
    """A wish may be about one radio; the others are left as they are."""
    near, far = Proxy("near"), Proxy("far")
    scan = control(near, far)
    scan.wish("one", PASSIVE, only="far")
    assert (near.told, far.told) == ([], [False])
    scan.end_wish("one")
    assert (near.told, far.told) == ([], [False, None])


@pytest.mark.parametrize(("mode", "told"), [(None, [True, None]), (PASSIVE, [False])])
async def test_scanner_of_a_program(mode: ScanMode | None, told: list[bool | None]) -> None:
    """Its mode counts where the user has said nothing; most programs leave bleak's default."""
    proxy = Proxy()
    scan = control(proxy, mode=mode)
    end = scan.scanner_runs(active=True)
    end()
    end()
    assert proxy.told == told
    scan.close()


async def test_scanner_that_asks_opens_windows_and_not_for_ever() -> None:
    """In `auto` it hurries for a minute, though a window for new devices is far off."""
    proxy = Proxy()
    scan = control(proxy, mode=AUTO)
    scan.device_is_new()
    await asyncio.sleep(SETTLE + WINDOW + 1)
    scan.device_is_new()
    end = scan.scanner_runs(active=True)
    await asyncio.sleep(3600)
    assert proxy.told.count(True) > 3
    assert proxy.active_for < 0.05 * 3600
    end()
    opened = proxy.told.count(True)
    await asyncio.sleep(2 * GAP)
    assert proxy.told.count(True) == opened


async def test_nothing_is_planned_after_the_end() -> None:
    """A fleet that is closing hears devices all the same."""
    proxy = Proxy()
    scan = control(proxy, mode=AUTO)
    scan.device_is_new()
    scan.close()
    scan.device_is_new()
    await asyncio.sleep(GAP)
    assert proxy.told == [False]


async def test_who_is_content_is_not_made_deaf() -> None:
    """Without a word of the user's, one wish for passive silences nobody who wished for nothing."""
    proxy = Proxy()
    scan = control(proxy)
    scan.wish("content", None)
    scan.wish("one", PASSIVE)
    assert proxy.told == []
    scan.wish("two", ACTIVE)
    scan.end_wish("two")
    assert proxy.told == [True, None]
    scan.end_wish("content")
    assert proxy.told == [True, None, False]
    scan.mode = ACTIVE
    scan.wish("content", None)
    assert proxy.told == [True, None, False, True]


async def test_radio_that_comes_late_is_asked_for_what_is_not_known_yet() -> None:
    """Devices may have been heard before the first radio in `auto` is ready."""
    radios: list[Radio] = []
    scan = ScanControl(lambda: radios, AUTO)
    scan.device_is_new()
    proxy = Proxy()
    radios.append(cast(Radio, proxy))
    scan.radio_changed(radios[0])
    await asyncio.sleep(SETTLE + 0.1)
    assert proxy.told == [False, True]
    scan.close()


async def test_neighbours_are_told_who_wants_more() -> None:
    """A wish for scan responses is for their radios too; one for less is not."""
    told: list[set[ScanWish]] = []
    scan = ScanControl(list, None, lambda wishes: told.append(set(wishes)))
    scan.wish("content", None)
    scan.wish("passive", PASSIVE)
    scan.wish("far", ACTIVE, far=True)
    assert told == []
    scan.wish("one", ACTIVE)
    scan.wish("two", ACTIVE)
    scan.wish("three", ACTIVE, only="kitchen")
    scan.end_wish("three")
    scan.end_wish("one")
    scan.end_wish("two")
    kitchen = ScanWish("kitchen")
    assert told == [{ScanWish()}, {ScanWish(), kitchen}, {ScanWish()}, set()]
    scan.mode = ACTIVE
    assert told[4:] == [{ScanWish(weak=True)}]
    scan.mode = PASSIVE
    assert told[5:] == [set()]


async def test_neighbours_are_told_of_windows() -> None:
    """In `auto` their radios are wanted for as long as ours are."""
    told: list[set[ScanWish]] = []
    radios: list[Radio] = [cast(Radio, Proxy())]
    scan = ScanControl(lambda: radios, AUTO, lambda wishes: told.append(set(wishes)))
    assert told == []
    scan.device_is_new()
    await asyncio.sleep(SETTLE + 0.1)
    assert told == [{ScanWish(weak=True)}]
    await asyncio.sleep(WINDOW)
    assert told == [{ScanWish(weak=True)}, set()]
    scan.close()


async def test_neighbours_are_told_of_the_mode_of_the_fleet() -> None:
    """It is known from the beginning."""
    told: list[set[ScanWish]] = []
    ScanControl(list, ACTIVE, lambda wishes: told.append(set(wishes)))
    assert told == [{ScanWish(weak=True)}]
