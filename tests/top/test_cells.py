"""How values are written."""

from __future__ import annotations

import pytest
from rich.text import Text
from textual.app import App, ComposeResult
from typer.testing import CliRunner

from proxyconn.cli import make_app
from proxyconn_top.cells import ago, lasting, plain, signal, slot_cells
from proxyconn_top.pages import MOST_DEVICES, UNHEARD, alarm_rows, link_rows, matrix_rows
from proxyconn_top.tables import LiveTable
from proxyconn_web.client import View


def test_slots_say_whose_they_are() -> None:
    """Ours, others', free: a cell for each."""
    slots = {"limit": 4, "free": 1, "holders": [{"used": True}, {"used": False}]}
    assert slot_cells(slots).plain == "■▣▣□ 1 free"
    assert slot_cells(None).plain == "not told"


def test_what_is_said_is_text() -> None:
    """Markup stays text, and what moves a cursor is not printed."""
    text = plain("[b]x[/b]\x1b[2J\n")
    assert text.plain == "[b]x[/b]·[2J·"
    assert not text.spans
    assert plain(None).plain == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.0, "59 s"), (60.0, "1 min"), (5400.0, "1.5 h")]
)
def test_times(seconds: float, text: str) -> None:
    """In the largest unit that fits."""
    assert lasting(seconds) == text
    assert ago(100.0, 100.0 + seconds).plain == text


def test_times_that_are_not_known() -> None:
    """Nothing, and none before now."""
    assert ago(None, 5.0).plain == ""
    assert ago(6.0, 5.0).plain == "0 s"
    assert signal(None).plain == "-"


def test_matrix_keeps_the_loudest() -> None:
    """Of more devices than fit, those heard best are shown, by address."""
    view = View()
    view.tables["radios"] = {"kitchen": {}}
    view.tables["devices"] = {
        f"{number:04}": {"name": None, "source": "kitchen", "rssi": -number or None}
        for number in range(MOST_DEVICES + 10)
    }
    rows = matrix_rows(view)
    assert list(rows) == [f"{number:04}" for number in range(1, MOST_DEVICES + 1)]
    assert UNHEARD < -MOST_DEVICES


def test_alarms_and_links() -> None:
    """The oldest alarm is first; who waits is told the number in the queue."""
    view = View(time=100.0)
    alarm = {"kind": "wedged", "source": "kitchen", "address": None, "text": "stuck"}
    view.tables["alarms"] = {"b": alarm | {"since": 90.0}, "a": alarm | {"since": 40.0}}
    assert [cells[3].plain for cells in alarm_rows(view).values()] == ["1 min", "10 s"]
    link = {"source": None, "state": "waiting", "since": 98.0, "client": "lamp"}
    view.tables["links"] = {"C4:00:00:00:00:01": link}
    view.tables["queue"] = {"C4:00:00:00:00:01": {"place": 2}}
    (cells,) = link_rows(view).values()
    assert cells[3].plain == "waiting, number 2"


def test_it_needs_a_terminal() -> None:
    """Without one, it says what there is for programs."""
    result = CliRunner().invoke(make_app(), ["top", "--proxy", "127.0.0.1"])
    assert result.exit_code == 2
    assert "needs a terminal" in result.output


async def test_headings_are_text() -> None:
    """A radio may be called as a column is, or what would be markup."""

    class Screen(App[None]):
        def compose(self) -> ComposeResult:
            yield LiveTable(("Device", "Name"), name="heard")

    async with Screen().run_test() as pilot:
        table = pilot.app.query_one(LiveTable)
        table.show({"a": [Text("a")] * 4}, ("Device", "Name", "Name", "[/x]"))
        assert [str(column.label) for column in table.ordered_columns][2:] == ["Name", "[/x]"]
        table.show({"a": [Text("b")] * 4}, ("Device", "Name", "Name", "[/x]"))
        assert table.get_row("a") == [Text("b")] * 4
