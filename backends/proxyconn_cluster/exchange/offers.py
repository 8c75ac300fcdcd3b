"""What a link to a device would be worth: asked of every owner at once, answered by each."""

from __future__ import annotations

import msgspec

from proxyconn_cluster.bus.messages import Message


class Ask(Message, frozen=True, kw_only=True):
    """Who hears a device, and what would a link to it be worth?

    Attributes:
        number: of the question, for the answers.
        reply: the subject for the answers.
        device: the address, or a name that the device says.
    """

    number: int
    reply: str
    device: str


class RadioOffer(msgspec.Struct, frozen=True):
    """What a link through one radio would be worth; fields as in the core's `Offer`.

    Attributes:
        radio: identity of the radio.
        address_type: of the device, as the radio has heard it: 0 public, 1 random.
    """

    radio: str
    rssi: int
    age: float
    patience: float
    wait: float
    failures: float = 0.0
    radio_failures: float = 0.0
    address_type: int = 0


class Answer(Message, frozen=True, kw_only=True):
    """What one owner has to say to an `Ask`.

    Attributes:
        number: of the question.
        run: who answers, with the sender's name.
        device: address of the device; None if this owner does not hear it.
        held: whose it is now, in words, if this owner has it connected, or connects to it.
        offers: its radios that hear the device and can be used.
        said: what the device says, as bytes of AD structures.
    """

    number: int
    run: str
    device: str | None = None
    held: str | None = None
    offers: tuple[RadioOffer, ...] = ()
    said: bytes = b""
