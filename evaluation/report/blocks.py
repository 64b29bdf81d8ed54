"""The pieces that a section of the report is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from offline_trader.evaluation.report.charts import DASH, Chart

__all__ = ["Block", "Cell", "Figure", "Pairs", "Section", "Table", "Tile", "Tiles", "Tone"]

Tone: TypeAlias = Literal["good", "bad", "warn", "plain"]


@dataclass(frozen=True)
class Cell:
    """A table cell; ``tone`` colours it."""

    text: str
    tone: Tone = "plain"
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """Rows under a head; every row has as many cells as the head."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Tile:
    """One number with its name and its interval or remark."""

    label: str
    value: str
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Tiles:
    """Numbers side by side."""

    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Pairs:
    """Names with their values, in as many columns as fit."""

    title: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Figure:
    """A chart."""

    chart: Chart


Block: TypeAlias = Table | Tiles | Pairs | Figure


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes:
        key: anchor.
        title: heading.
        lead: what it shows and how to read it, a sentence or two.
        blocks: content; empty means that ``missing`` is shown instead.
        missing: why there is nothing.
        command: what fills it; empty: nothing can.
    """

    key: str
    title: str
    lead: str
    blocks: tuple[Block, ...]
    missing: str = ""
    command: str = ""

    @property
    def dashed(self) -> bool:
        """Whether a value of it is a dash."""
        texts: list[str] = []
        for block in self.blocks:
            if isinstance(block, Table):
                texts += [cell.text for row in block.rows for cell in row]
            elif isinstance(block, Tiles):
                texts += [tile.value for tile in block.tiles]
            elif isinstance(block, Pairs):
                texts += [value for _, value in block.pairs]
        return DASH in texts

    @property
    def charts(self) -> tuple[Chart, ...]:
        """Its charts in order."""
        return tuple(block.chart for block in self.blocks if isinstance(block, Figure))
