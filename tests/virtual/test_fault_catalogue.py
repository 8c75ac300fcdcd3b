"""The catalogue of faults: names, arguments, where a fault exists, and faults at random."""

from __future__ import annotations

import asyncio
import itertools
import re

import pytest

from proxyconn_virtual.chaos import ChaosFaults, plan, possible_faults
from proxyconn_virtual.fault_catalogue import CATALOGUE, FaultError, FaultName, Kind, find_fault
from proxyconn_virtual.firmware.profiles import KNOWN
from proxyconn_virtual.proxy import VirtualProxy, new_noise_psk
from tests.virtual.conftest import Bench, peripheral

EVERY = tuple(CATALOGUE)


@pytest.mark.parametrize("name", EVERY)
def test_fault_is_described(name: FaultName) -> None:
    """Every fault says in a sentence what it is, where it is known from, and where it exists."""
    fault = CATALOGUE[name]
    assert fault.name == name
    assert fault.text.endswith(".")
    assert fault.source
    assert fault.profiles
    assert set(fault.always_in) <= set(fault.profiles)
    assert find_fault(name) is fault


@pytest.mark.parametrize("profile", KNOWN)
def test_absence_has_a_reason(profile: str) -> None:
    """Where a firmware cannot have a fault, the catalogue says why, in the refusal too."""
    for fault in CATALOGUE.values():
        why_not = fault.why_not(KNOWN[profile])
        assert (why_not is None) is (profile in fault.profiles)
        if profile not in fault.profiles:
            assert why_not
            with pytest.raises(FaultError, match=re.escape(f"{fault.name!r}: {why_not}; these")):
                fault.check(KNOWN[profile], encrypted=True)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("late_connected", None, 25.0),
        ("late_connected", "0.5", 0.5),
        ("frame_loss", 0.25, 0.25),
        ("slot_leak", "2", 2),
        ("stale_mtu", "0", 0),
        ("slot_mismatch", "zeros", "zeros"),
        ("wedged_connecting", "C4:00:00:00:00:01", 0xC40000000001),
        ("wedged_connecting", None, None),
    ],
)
def test_argument(name: str, given: str | float | None, value: object) -> None:
    """An argument is a number or a text of its kind; without one there is a default."""
    assert find_fault(name).parse(given) == value


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("late_connected", "soon", "SECONDS: how late"),
        ("late_connected", "-1", "out of range"),
        ("late_connected", "inf", "out of range"),
        ("frame_loss", "1.5", "out of range"),
        ("slot_leak", "0", "less than 1"),
        ("stale_mtu", "-1", "less than 0"),
        ("slot_mismatch", "long", "short, absent, zeros"),
        ("wedged_connecting", "C4:00", "six octets"),
        ("no_done", "1", "takes no argument"),
    ],
)
def test_argument_refused(name: str, given: str, words: str) -> None:
    """An argument of another kind is refused in words that say what it takes."""
    with pytest.raises(FaultError, match=words):
        find_fault(name).parse(given)


def test_unknown_names() -> None:
    """A slip of the pen is told from a name that is not like any."""
    with pytest.raises(FaultError, match="did you mean 'frame_loss'"):
        find_fault("frame_los")
    with pytest.raises(FaultError, match=r"known: lost_disconnect, .*radio_8_live"):
        find_fault("xyz")


async def test_fault_of_other_firmware(bench: Bench) -> None:
    """A fault that the firmware does not have is refused, with the versions that have it."""
    proxy = await bench.proxy(peripheral(), profile="2026.6.5")
    with pytest.raises(FaultError, match=r"2026\.6\.5 .*stays; .*2026\.7\.0.*, rp2, bk72xx$"):
        proxy.inject("subscriber_stolen")
    with pytest.raises(FaultError, match="a proxy that encrypts"):
        proxy.inject("wrong_key")
    assert not proxy.injectors


@pytest.mark.looptime
@pytest.mark.parametrize("profile", KNOWN)
async def test_undo(bench: Bench, profile: str) -> None:
    """Every fault can be switched off, twice over, and leaves no injector behind."""
    proxy = await bench.proxy(peripheral(), profile=profile, noise_psk=new_noise_psk())
    for name in possible_faults(proxy):
        undo = proxy.inject(name)
        undo()
        undo()
        assert not proxy.injectors
    await bench.peer(proxy, subscribe=True)
    assert proxy.snapshot().free == min(3, proxy.profile.max_slots)


def test_plan_is_of_its_seed() -> None:
    """The same seed plans the same, another one something else; no fault meets itself."""
    first, again, other = (
        list(itertools.islice(plan(EVERY, seed, 0.1, (1.0, 60.0)), 500)) for seed in (1, 1, 2)
    )
    assert first == again != other
    over = dict.fromkeys(EVERY, 0.0)
    now = 0.0
    for planned in first:
        now += planned.after
        assert over[planned.name] <= now
        assert 1.0 <= planned.duration <= 60.0
        over[planned.name] = now + planned.duration
    assert 0.05 < len(first) / now < 0.11
    assert {planned.name for planned in first} == set(EVERY)


async def chaos(proxy: VirtualProxy, seed: int) -> dict[FaultName, int]:
    """Run faults for half an hour; return how often each came."""
    async with ChaosFaults(proxy, seed=seed, rate=0.1) as faults:
        await asyncio.sleep(1800)
        assert faults.active
    assert not faults.active
    return dict(faults.counts)


@pytest.mark.looptime
async def test_chaos(bench: Bench) -> None:
    """Half an hour of faults is counted, the same from the same seed, and over when it ends."""
    key = new_noise_psk()
    counts = []
    for seed in (3, 3, 4):
        proxy = await bench.proxy(peripheral(interval=4.0), noise_psk=key)
        counts.append(await chaos(proxy, seed))
        assert not proxy.injectors
        # A restart may still be under way.
        await asyncio.sleep(30)
        await bench.peer(proxy, subscribe=True)
        assert proxy.snapshot().free == 3
    assert counts[0] == counts[1] != counts[2]
    assert sum(counts[0].values()) > 100


async def test_chaos_refuses(bench: Bench) -> None:
    """Names, rate and durations are checked before anything is injected."""
    proxy = await bench.proxy(peripheral(), profile="2026.6.5")
    for names in (["subscriber_stolen"], ["nothing"]):
        with pytest.raises(FaultError):
            ChaosFaults(proxy, names=names)
    with pytest.raises(ValueError, match="out of range"):
        ChaosFaults(proxy, rate=0)
    with pytest.raises(ValueError, match="out of range"):
        ChaosFaults(proxy, durations=(2.0, 1.0))


def test_kinds_are_used() -> None:
    """There is no kind of argument that nothing takes."""
    taken = {fault.argument.kind for fault in CATALOGUE.values() if fault.argument is not None}
    assert taken == set(Kind)
