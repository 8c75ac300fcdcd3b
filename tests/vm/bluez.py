"""The daemons of the virtual machine, and what the tests' set-up asks of bluetoothd over D-Bus."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dbus_fast import BusType, DBusError, ErrorType, Message, MessageFlag, MessageType, Variant
from dbus_fast.aio.message_bus import MessageBus

from tests.vm.loop_thread import LoopThread

ADAPTER = "org.bluez.Adapter1"
AGENT = "org.bluez.Agent1"
AGENTS = "org.bluez.AgentManager1"
AGENT_PATH = "/agent"
DEVICE = "org.bluez.Device1"
OBJECTS = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
DAEMON = "/usr/libexec/bluetooth/bluetoothd"
SETTINGS = Path("/run/bluetoothd.conf")
LOG = Path("/run/bluetoothd.log")
ABSENT = {ErrorType.SERVICE_UNKNOWN.value, ErrorType.NAME_HAS_NO_OWNER.value}
ROOT = "/org/bluez"
Objects = dict[str, dict[str, dict[str, Variant]]]


class SystemBus:
    """The system bus: its daemon, and the set-up's own connection to it."""

    def __init__(self) -> None:
        self._daemon: subprocess.Popen[str] | None = None
        self._bus: MessageBus | None = None
        self._changed = asyncio.Event()

    def start_daemon(self) -> None:
        """Start dbus-daemon; returns when clients can connect."""
        Path("/run/dbus").mkdir(exist_ok=True)
        self._daemon = subprocess.Popen(
            ["/usr/bin/dbus-daemon", "--system", "--nofork", "--nopidfile", "--print-address"],
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._daemon.stdout is None or not self._daemon.stdout.readline():
            raise RuntimeError("dbus-daemon did not start")

    async def connect(self) -> None:
        """Connect, and follow the signals of bluetoothd."""
        self._bus = bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        bus.add_message_handler(self._on_message)
        for rule in (
            "type='signal',sender='org.bluez'",
            "type='signal',member='NameOwnerChanged',arg0='org.bluez'",
        ):
            await self.call("/", "org.freedesktop.DBus", "AddMatch", "s", rule)

    def _on_message(self, message: Message) -> Message | None:
        if message.message_type is MessageType.SIGNAL:
            self._changed.set()
        elif message.interface == AGENT:
            return Message.new_method_return(message)  # which says yes, to whatever is asked
        return None

    async def call(
        self, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> list[Any]:
        """Call a method of bluetoothd, or of the bus. Raises DBusError."""
        if self._bus is None:
            raise RuntimeError("not connected")
        of_bus = interface == "org.freedesktop.DBus"
        reply = await self._bus.call(
            Message(
                destination="org.freedesktop.DBus" if of_bus else "org.bluez",
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                flags=MessageFlag.NO_AUTOSTART,
                body=list(body),
            )
        )
        if reply is None:
            raise RuntimeError("no reply")
        if reply.message_type is MessageType.ERROR:
            raise DBusError(reply.error_name or "", str(reply.body))
        return list(reply.body)

    async def objects(self) -> Objects:
        """Return the objects of bluetoothd; none while it does not run."""
        try:
            (objects,) = await self.call("/", OBJECTS, "GetManagedObjects")
        except DBusError as error:
            if error.type in ABSENT:
                return {}
            raise
        found: Objects = objects
        return found

    async def until(self, ready: Callable[[Objects], bool]) -> None:
        """Return once the objects of bluetoothd are as wanted; they are read at each signal."""
        while True:
            self._changed.clear()
            if ready(await self.objects()):
                return
            await self._changed.wait()

    async def disconnect(self) -> None:
        """Disconnect."""
        if self._bus is not None:
            self._bus.disconnect()
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def stop_daemon(self) -> None:
        """Stop dbus-daemon."""
        if self._daemon is not None:
            with self._daemon:
                self._daemon.terminate()


class Bluetoothd:
    """bluetoothd, which tests may restart."""

    def __init__(self, thread: LoopThread, bus: SystemBus) -> None:
        self._thread = thread
        self._bus = bus
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it; returns when it answers."""
        # It would power an adapter on by itself, at a moment of its own.
        SETTINGS.write_text("[Policy]\nAutoEnable=false\n", encoding="utf-8")
        command = [DAEMON, "--nodetach", f"--configfile={SETTINGS}"]
        with LOG.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._thread.run(self._bus.until(lambda objects: ROOT in objects))

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    async def restart(self) -> None:
        """Stop it and start it again; returns when its adapters are as they were."""
        await asyncio.to_thread(self._restart)

    def _restart(self) -> None:
        before = self.objects()
        self.stop()
        self.start()
        for path, interfaces in before.items():
            if ADAPTER in interfaces:
                self.power(path, on=_is_powered(before, path))

    def objects(self) -> Objects:
        """Return its objects."""
        return self._thread.run(self._bus.objects())

    def power(self, path: str, *, on: bool) -> None:
        """Power an adapter on or off; returns when it is."""
        self._thread.run(self._power(path, on))

    async def _power(self, path: str, on: bool) -> None:
        await self._bus.until(lambda objects: path in objects)
        powered = Variant("b", on)
        await self._bus.call(path, PROPERTIES, "Set", "ssv", ADAPTER, "Powered", powered)
        await self._bus.until(lambda objects: _is_powered(objects, path) is on)

    def register_agent(self) -> None:
        """Register an agent that accepts pairing, as desktops have one; without, none bonds."""
        self._thread.run(self._register_agent())

    async def _register_agent(self) -> None:
        await self._bus.call(ROOT, AGENTS, "RegisterAgent", "os", AGENT_PATH, "NoInputNoOutput")
        await self._bus.call(ROOT, AGENTS, "RequestDefaultAgent", "o", AGENT_PATH)

    def unregister_agent(self) -> None:
        """Take the agent back, if the daemon still has it."""
        with suppress(DBusError):
            self._thread.run(self._bus.call(ROOT, AGENTS, "UnregisterAgent", "o", AGENT_PATH))

    def forget_devices(self) -> None:
        """Remove every device, with its bond and what was cached of it."""
        self._thread.run(self._forget_devices())

    async def _forget_devices(self) -> None:
        for path, interfaces in (await self._bus.objects()).items():
            if DEVICE in interfaces:
                adapter = path.rpartition("/")[0]
                with suppress(DBusError):  # it may have gone by itself meanwhile
                    await self._bus.call(adapter, ADAPTER, "RemoveDevice", "o", path)


def _is_powered(objects: Objects, path: str) -> bool:
    powered = objects.get(path, {}).get(ADAPTER, {}).get("Powered")
    return powered is not None and bool(powered.value)
