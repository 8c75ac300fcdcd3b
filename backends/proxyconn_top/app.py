"""The screen: pages, keys, and the state that flows into them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import ClassVar, Final

from bleak.exc import BleakError
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Input, Static, TabbedContent, TabPane

from proxyconn.errors import RadioUnavailableError
from proxyconn_top import pages
from proxyconn_top.cells import plain
from proxyconn_top.sources import Source
from proxyconn_top.tables import LiveTable
from proxyconn_web.client import ActionError, View

AGAIN_AFTER: Final = 2.0
"""Seconds until a source that does not answer is asked again."""

COUNTED: Final = {
    "radios": "radios",
    "devices": "devices",
    "links": "links",
    "queue": "waiting",
    "alarms": "alarms",
}
"""What the first line counts, and what it calls it."""

FLEET, MATRIX, DEVICE, LOG = "fleet", "matrix", "device", "log"


class Top(App[None]):
    """Shows a fleet.

    Args:
        source: tells what it is doing.
    """

    TITLE = "proxyconn top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #about { height: 1; padding: 0 1; background: $panel; }
    #owners { height: auto; max-height: 25%; }
    #radios { height: auto; max-height: 50%; }
    #alarms { height: auto; max-height: 30%; }
    #links { height: 1fr; }
    #entries, #heard { height: 1fr; }
    #paths { height: auto; max-height: 50%; }
    #filter { display: none; height: 1; border: none; padding: 0 1; }
    #filter.open { display: block; }
    TabPane { padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", f"page('{FLEET}')", "Fleet"),
        Binding("2", f"page('{MATRIX}')", "Matrix"),
        Binding("3", f"page('{DEVICE}')", "Device"),
        Binding("4", f"page('{LOG}')", "Log"),
        Binding("slash", "filter", "Filter"),
        Binding("d", "disconnect", "Disconnect"),
        Binding("q,ctrl+c", "quit", "Quit", key_display="q"),
    ]

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._view: View | None = None
        self._address: str | None = None
        self._wanted = ""

    def compose(self) -> ComposeResult:
        """Lay the pages out."""
        yield Static(f"waiting for {self._source.label}", id="about", markup=False)
        with TabbedContent(initial=FLEET):
            with TabPane("Fleet", id=FLEET):
                yield LiveTable(pages.OWNER_COLUMNS, name="owners")
                yield LiveTable(pages.RADIO_COLUMNS, name="radios")
                yield LiveTable(pages.ALARM_COLUMNS, name="alarms")
                yield LiveTable(pages.LINK_COLUMNS, name="links")
            with TabPane("Matrix", id=MATRIX):
                yield LiveTable(pages.DEVICE_COLUMNS, name="heard")
            with TabPane("Device", id=DEVICE):
                yield LiveTable(pages.PATH_COLUMNS, name="paths")
                with VerticalScroll():
                    yield Static("Choose a device on page 1 or 2, and press Enter.", id="said")
            with TabPane("Log", id=LOG):
                yield LiveTable(pages.LOG_COLUMNS, name="entries")
        yield Input(placeholder="part of a name or an address", id="filter")
        yield Footer()

    def on_mount(self) -> None:
        """Follow the state for as long as the screen is there."""
        self.run_worker(self._follow(), group="follow", exclusive=True)
        self.query_one("#radios", LiveTable).focus()

    # The state

    async def _follow(self) -> None:
        while True:
            try:
                async with aclosing(self._source.views()) as views:
                    async for view in views:
                        self._view = view
                        await self._draw()
                why = "the fleet is closed"
            except RadioUnavailableError as exc:
                why = str(exc)
            self._say(why)
            await asyncio.sleep(AGAIN_AFTER)

    async def _draw(self) -> None:
        """Show the state on the page that is seen."""
        view = self._view
        if view is None:
            return
        counts = {name: len(view.tables[name]) for name in COUNTED}
        said = ", ".join(f"{count} {COUNTED[name]}" for name, count in counts.items())
        only = f", only {self._wanted!r}" if self._wanted else ""
        self._say(f"{said}{pages.broker_text(view)}{only} ({self._source.label})")
        page = self._page
        if page == FLEET:
            self._table("owners").show(owners := pages.owner_rows(view))
            self._table("owners").display = bool(owners)
            self._table("radios").show(pages.radio_rows(view), pages.radio_columns(view))
            self._table("alarms").show(alarms := pages.alarm_rows(view))
            self._table("alarms").display = bool(alarms)
            self._table("links").show(pages.link_rows(view))
        elif page == MATRIX:
            rows = pages.matrix_rows(view, self._wanted)
            self._table("heard").show(rows, pages.matrix_columns(view))
        elif page == LOG:
            self._table("entries").show(pages.log_rows(view, self._wanted))
        elif self._address:
            await self._draw_device(self._address)

    async def _draw_device(self, address: str) -> None:
        try:
            device = await self._source.device(address)
        except RadioUnavailableError as exc:
            self._say(str(exc))
            return
        if address != self._address:
            return
        if device is None:
            self._table("paths").show({})
            self.query_one("#said", Static).update(plain(f"{address}: no radio hears it"))
        else:
            self._table("paths").show(pages.path_rows(device))
            self.query_one("#said", Static).update(pages.device_text(device))

    def _say(self, text: str) -> None:
        self.query_one("#about", Static).update(plain(text))

    def _table(self, name: str) -> LiveTable:
        return self.query_one(f"#{name}", LiveTable)

    @property
    def _page(self) -> str:
        return self.query_one(TabbedContent).active

    # Keys

    async def action_page(self, name: str) -> None:
        """Show another page."""
        self.query_one(TabbedContent).active = name
        await self._draw()
        tables = {FLEET: "radios", MATRIX: "heard", DEVICE: "paths", LOG: "entries"}
        self._table(tables[name]).focus()

    async def on_tabbed_content_tab_activated(self) -> None:
        """Show what is new on a page that was chosen with the mouse."""
        await self._draw()

    async def on_data_table_row_selected(self, event: LiveTable.RowSelected) -> None:
        """Show the device of a row."""
        table = event.data_table
        if isinstance(table, LiveTable) and table.id in ("heard", "links") and table.chosen:
            self._address = table.chosen
            await self.action_page(DEVICE)

    def action_filter(self) -> None:
        """Ask what the matrix and the log are to be narrowed to."""
        box = self.query_one("#filter", Input)
        box.add_class("open")
        box.focus()

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Narrow the pages down; nothing shows everything again."""
        self._wanted = event.value.strip()
        self.query_one("#filter", Input).remove_class("open")
        await self.action_page(self._page if self._page in (MATRIX, LOG) else MATRIX)

    def action_disconnect(self) -> None:
        """End the link of the device that is chosen."""
        page = self._page
        table = self._table("links") if page == FLEET else None
        address = table.chosen if table and table.has_focus else self._address
        if address is None or page not in (FLEET, DEVICE):
            self.notify("Choose a link on page 1, or a device, first.", severity="warning")
            return
        self.run_worker(self._disconnect(address), group="act")

    async def _disconnect(self, address: str) -> None:
        try:
            await self._source.disconnect(address)
        except (ActionError, BleakError) as exc:
            self.notify(str(exc), severity="error", markup=False)
        else:
            self.notify(f"{address} is disconnected", markup=False)
