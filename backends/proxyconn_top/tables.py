"""Keeps a table on the screen like the rows that it is to show, and changes only what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text
from textual.widgets import DataTable

from proxyconn_top.cells import plain

Cells = Sequence[Text]


class LiveTable(DataTable[Text]):
    """A table whose rows are known by a key, and change in place.

    Args:
        columns: their headings.
        name: the id of the widget.
    """

    def __init__(self, columns: Sequence[str], *, name: str) -> None:
        super().__init__(id=name, cursor_type="row", zebra_stripes=True)
        self._wanted = tuple(columns)
        self._shown: dict[str, tuple[Text, ...]] = {}
        self._heads: tuple[str, ...] = ()

    def show(self, rows: Mapping[str, Cells], columns: Sequence[str] | None = None) -> None:
        """Show these rows, in this order.

        Args:
            rows: key -> cells.
            columns: other headings than before; None for the same.
        """
        heads = tuple(columns) if columns is not None else self._heads or self._wanted
        if len(rows) != len(self._shown):
            # What had no height while it was empty, or not displayed, is given none by new rows.
            self.call_after_refresh(self.refresh, layout=True)
        wanted = {key: tuple(cells) for key, cells in rows.items()}
        # New rows can only be put at the end: another order takes a new table.
        kept = [key for key in self._shown if key in wanted]
        if heads != self._heads or kept != list(wanted)[: len(kept)]:
            self._fill(heads, wanted)
            return
        for key in [key for key in self._shown if key not in wanted]:
            self.remove_row(key)
            del self._shown[key]
        for key, cells in wanted.items():
            self._set(key, cells)

    def _set(self, key: str, cells: tuple[Text, ...]) -> None:
        before = self._shown.get(key)
        if before is None:
            self.add_row(*cells, key=key)
        elif before != cells:
            for number, (old, new) in enumerate(zip(before, cells, strict=True)):
                if old != new or old.style != new.style:
                    self.update_cell(key, str(number), new, update_width=True)
        self._shown[key] = cells

    def _fill(self, heads: tuple[str, ...], rows: dict[str, tuple[Text, ...]]) -> None:
        """Make the table anew, with the cursor on the same row as before."""
        chosen, (x, y) = self.chosen, self.scroll_offset
        self.clear(columns=heads != self._heads)
        if heads != self._heads:
            # Radios may be called like another column.
            for number, head in enumerate(heads):
                self.add_column(plain(head), key=str(number))
        self._heads, self._shown = heads, {}
        for key, cells in rows.items():
            self._set(key, cells)
        if chosen in rows:
            self.move_cursor(row=list(rows).index(chosen), scroll=False)
        self.scroll_to(x, y, animate=False)

    @property
    def chosen(self) -> str | None:
        """The key of the row under the cursor; None for an empty table."""
        keys = list(self._shown)
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else None
