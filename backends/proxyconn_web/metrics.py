"""Metrics for Prometheus: per radio, per client, the queue, and how long things take.

Counters count from the start of the server. What is known anyway is looked up when it is asked for.
No device has a metric of its own unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from proxyconn.models import RadioState
from proxyconn.radio import Radio, Report
from proxyconn.routing.journal import Connect, Step, StepKind
from proxyconn.watch.feed import Feed
from proxyconn_web.extra import need

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

WAIT_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds: a free slot takes none; a caller waits 60 s at most by itself."""

CONNECT_BUCKETS: Final = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0)
"""Seconds: the firmware gives an attempt up after 20 s."""

GATT_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: ATT gives a request up after 30 s (Core Specification vol 3 F 3.3.3)."""

DEVICES: Final = "devices"
"""What must be asked for to get metrics by device."""

Values = dict[tuple[str, ...], float]
"""Values of the labels -> the metric's value."""

Observed = Callable[[str, float], object]
"""Called with the name of an operation on attributes, and the seconds it has taken."""


class Metrics:
    """The metrics of one fleet, in a registry of their own.

    Args:
        feed: the fleet's.
        register_operations: registers who is told of operations on attributes.

    Raises:
        MissingExtraError: prometheus-client is not installed.
    """

    def __init__(
        self, feed: Feed, register_operations: Callable[[Observed], Callable[[], None]]
    ) -> None:
        prometheus = need("prometheus_client")
        self._inspection = feed.inspection
        self._clock = feed.clock
        self._client_rows = feed.client_rows
        self.registry: CollectorRegistry = prometheus.CollectorRegistry(auto_describe=False)
        counter, histogram, own = prometheus.Counter, prometheus.Histogram, self.registry

        def counted(name: str, text: str, *labels: str) -> Any:
            return counter(f"proxyconn_{name}", text, labels, registry=own)

        def timed(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Any:
            text, name = f"Seconds: {text}", f"proxyconn_{name}_seconds"
            return histogram(name, text, labels, buckets=buckets, registry=own)

        self._attempts = counted("connect_attempts", "Attempts to connect.", "radio")
        self._failures = counted("connect_failures", "Those that failed.", "radio", "kind")
        self._given_up = counted("queue_given_up", "Waits that ended without a radio.", "kind")
        self._heard = counted("advertisements", "Advertisements heard.", "radio")
        self._bytes = counted("advertised_bytes", "Bytes of payload in them.", "radio")
        self._reconnects = counted("radio_reconnects", "Times it became usable again.", "radio")
        self._wait = timed("queue_wait", "waiting for a radio.", WAIT_BUCKETS)
        self._connect = timed(
            "connect", "from the choice of a radio to the link.", CONNECT_BUCKETS, "radio"
        )
        self._gatt = timed(
            "gatt_operation", "one operation on attributes.", GATT_BUCKETS, "operation"
        )
        self._last_heard: dict[str, float] = {}
        self._usable: dict[str, bool] = {}
        self._unregister = [
            self._inspection.register_reports_callback(self._on_reports),
            self._inspection.register_state_callback(self._on_state),
            self._inspection.journal.callbacks.register(self._on_step),
            register_operations(lambda name, took: self._gatt.labels(name).observe(took)),
        ]
        self._on_state()
        self.registry.register(_Present(self._present))

    def close(self) -> None:
        """Count nothing more; idempotent."""
        for unregister in self._unregister:
            unregister()
        self._unregister.clear()

    def exposition(self, accept: str, *, devices: bool = False) -> tuple[bytes, str]:
        """Return the metrics, and their content type.

        Args:
            accept: the request's Accept header.
            devices: whether to add how each radio hears each device.
        """
        encoder, content_type = need("prometheus_client.exposition").choose_encoder(accept)
        registry = self.registry
        if devices:
            registry = need("prometheus_client").CollectorRegistry(auto_describe=False)
            registry.register(_Present(lambda: (*self.registry.collect(), self._devices())))
        return encoder(registry), content_type

    # What is counted

    def _on_reports(self, radio: Radio, reports: Iterable[Report[Any]]) -> None:
        number = size = 0
        for report in reports:
            number += 1
            size += len(report.data) if isinstance(report.data, bytes) else 0
        self._heard.labels(radio.name).inc(number)
        self._bytes.labels(radio.name).inc(size)
        self._last_heard[radio.name] = self._inspection.loop.time()

    def _on_state(self) -> None:
        for radio in self._inspection.radios:
            usable = radio.state.is_usable
            if usable and self._usable.get(radio.name) is False:
                self._reconnects.labels(radio.name).inc()
            if usable or radio.name in self._usable:
                self._usable[radio.name] = usable

    def _on_step(self, connect: Connect, step: Step) -> None:
        kind = step.error.name.lower() if step.error else "called_off"
        source = step.source or ""
        if step.kind is StepKind.CHOSEN:
            self._attempts.labels(source).inc()
            self._wait.observe(_since(connect, StepKind.QUEUED))
        elif step.kind is StepKind.FAILED:
            self._failures.labels(source, kind).inc()
        elif step.kind is StepKind.GAVE_UP:
            self._given_up.labels(kind).inc()
        elif step.kind is StepKind.READY:
            self._connect.labels(source).observe(_since(connect, StepKind.CHOSEN))

    # What is there now

    def _present(self) -> Iterator[Metric]:
        inspection = self._inspection
        yield self._gauge("queue_length", "Callers that wait.", (), {(): len(inspection.waiting())})
        heard = len(inspection.sightings)
        yield self._gauge("devices", "Devices that are heard.", (), {(): heard})
        alarms: Values = {}
        for alarm in inspection.alarms():
            alarms[str(alarm.kind),] = alarms.get((str(alarm.kind),), 0) + 1
        yield self._gauge("alarms", "What should not be.", ("kind",), alarms)
        yield from self._radios()
        yield from self._clients()
        yield from self._cluster()

    def _radios(self) -> Iterator[Metric]:
        states: Values = {}
        slots: Values = {}
        free: Values = {}
        links: Values = {}
        for radio in self._inspection.radios:
            name = radio.name
            states |= {(name, str(state)): radio.state is state for state in RadioState}
            links[name,] = sum(one is radio for one in self._inspection.links.values())
            if report := radio.allocations():
                slots[name,], free[name,] = report.slots, report.free
        heard: Values = {(name,): self._clock.at(at) for name, at in self._last_heard.items()}
        by_radio = ("radio",)
        yield self._gauge("radio_state", "1 for how it is.", ("radio", "state"), states)
        yield self._gauge("slots", "Connection slots.", by_radio, slots)
        yield self._gauge("slots_free", "Connection slots that are free.", by_radio, free)
        yield self._gauge("links", "Links and attempts of this fleet.", by_radio, links)
        yield self._gauge(
            "radio_last_heard_timestamp_seconds", "When it heard anything last.", by_radio, heard
        )

    def _clients(self) -> Iterator[Metric]:
        clients: Values = {}
        links: Values = {}
        for row in self._client_rows().values():
            key = (str(row["name"]), str(row["peer"]), str(row["proxy"]))
            clients[key] = clients.get(key, 0) + 1
            links[key] = links.get(key, 0) + len(row["links"])
        labels = ("client", "peer", "proxy")
        yield self._gauge("clients", "Connections of clients.", labels, clients)
        yield self._gauge("client_links", "Links and attempts of clients.", labels, links)

    def _cluster(self) -> Iterator[Metric]:
        around = self._inspection.surroundings()
        there: Values = {}
        leases: Values = {}
        received: Values = {}
        sent: Values = {}
        radios: Values = {}
        heard: Values = {}
        if around:
            there[()], leases[()] = around.connected, around.leases
            received[()], sent[()] = around.received, around.sent
            for one in around.owners:
                radios[one.owner, one.site] = one.radios
                heard[one.owner, one.site] = self._clock.at(one.heard_at)
        by_owner = ("owner", "site")
        yield self._gauge("cluster_connected", "1 if the broker is there.", (), there)
        yield self._gauge("cluster_leases", "Proxies that are this owner's.", (), leases)
        yield self._gauge("cluster_owner_radios", "Radios that it shares.", by_owner, radios)
        yield self._gauge(
            "cluster_owner_last_heard_timestamp_seconds", "When it said something.", by_owner, heard
        )
        yield self._total("cluster_messages_received", "Messages from the broker.", received)
        yield self._total("cluster_messages_sent", "Messages to the broker.", sent)

    def _devices(self) -> Metric:
        cells: Values = {
            (address, radio.name): heard.rssi
            for address, sighting in self._inspection.sightings.items()
            for radio, heard in sighting.heard.items()
        }
        return self._gauge("device_rssi_dbm", "Smoothed.", ("address", "radio"), cells)

    @staticmethod
    def _total(name: str, text: str, values: Values) -> Metric:
        core = need("prometheus_client.metrics_core")
        family = core.CounterMetricFamily(f"proxyconn_{name}", text, labels=())
        for key, value in values.items():
            family.add_metric(key, float(value))
        made: Metric = family
        return made

    @staticmethod
    def _gauge(name: str, text: str, labels: tuple[str, ...], values: Values) -> Metric:
        core = need("prometheus_client.metrics_core")
        family = core.GaugeMetricFamily(f"proxyconn_{name}", text, labels=labels)
        for key, value in values.items():
            family.add_metric(key, float(value))
        made: Metric = family
        return made


class _Present:
    """Collects what is there at the moment of the question."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        """Return what is there now."""
        return self._collect()


def _since(connect: Connect, kind: StepKind) -> float:
    """Return the seconds from the last step of a kind to the last step of all."""
    began = next((step.at for step in reversed(connect.steps) if step.kind is kind), None)
    return 0.0 if began is None else connect.last.at - began
