"""Sheets of stored translations: for the same sources and the same noise, what each method makes of them.

Style k of a source has a generator of its own, from (source id, k): row k of every method has the same z. (The paper's
grids share one z over a row's sources, too; ours do not.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bench.core.errors import BenchError
from bench.reporting.figures.axes import DrawnAxes, direction_on_axes, with_commands_below_axes
from bench.reporting.figures.collect import CollectedCells, FigureRemedy, FigureRequest, FigureSlot, SlotCells
from bench.reporting.figures.page import DPI, MARGIN, SIZE, WIDTH, FigurePage, PageHeading, page_text_width
from bench.reporting.figures.values import STYLE_ORDER
from bench.reporting.setting import setting_command
from bench.spec.presets import get_preset
from bench.spec.tasks import TASKS
from bench.store.cell import cell_direction_file

if TYPE_CHECKING:
    from bench.data.types import TaskData
    from bench.evaluation.translate import Translations

MOST_CLASSES = 10
"""Largest number of classes that are shown: of more, the first ones."""
SHOWN_WITHOUT_CLASSES = 5
"""Data without classes is shown as if it had so many."""
PAIR_COLUMNS = 5
"""Pairs of source and translation in a row of `grid_of_pairs`: ten columns, as in the paper."""
GAP = 16
"""Tiles are a 16th of their side apart."""
TITLE, NAMES, ROWS, BETWEEN = 0.17, 0.15, 0.44, 0.12
"""Inches: above a block, for the names of its columns, left of the first block of a row, between blocks."""
LARGEST_TILE = 0.62
"""Inches."""


@dataclass(frozen=True)
class GridBlock:
    """One sheet of tiles."""

    title: str
    sheet: np.ndarray
    """uint8 (h, w, 3): tiles in their own pixels, on white."""
    columns: tuple[str, ...]
    """Names above the columns, or none."""
    rows: tuple[str, ...]
    """Names at the left, or none."""
    side: int
    """Side of a tile in pixels."""
    new_row: bool = False
    """Whether it begins a row of blocks."""


# ----------------------------------------------------------------------------------------------------------- sheets


def grid_of_styles(sources: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """Sources on top, then one row per style; one column per source. uint8 (h, w, 3).

    `sources` uint8 (C, 3, S, S), `made` uint8 (C, K, 3, S, S). Tiles are S // 16 apart (at least 1), and the sources
    three times that from what became of them.
    """
    side, gap = sources.shape[-1], grid_gap(sources.shape[-1])
    columns, styles = translations.shape[:2]
    top = side + 3 * gap
    sheet = _white(top + styles * (side + gap) - gap, columns * (side + gap) - gap)
    for column in range(columns):
        x = column * (side + gap)
        _put(sheet, 0, x, sources[column])
        for k in range(styles):
            _put(sheet, top + k * (side + gap), x, translations[column, k])
    return sheet


def grid_of_pairs(sources: np.ndarray, translations: np.ndarray, pairs: int = PAIR_COLUMNS) -> np.ndarray:
    """Columns of sources and of their translations in turn, `pairs` of them in a row. uint8 (h, w, 3).

    `sources` and `made` uint8 (N, 3, S, S). Pairs are three gaps apart.
    """
    side, gap = sources.shape[-1], grid_gap(sources.shape[-1])
    rows, width = -(-len(sources) // pairs), 2 * side + gap
    sheet = _white(rows * (side + gap) - gap, pairs * (width + 3 * gap) - 3 * gap)
    for number, (source, translation) in enumerate(zip(sources, translations, strict=True)):
        y, x = (number // pairs) * (side + gap), (number % pairs) * (width + 3 * gap)
        _put(sheet, y, x, source)
        _put(sheet, y, x + side + gap, translation)
    return sheet


def grid_gap(side: int) -> int:
    """Pixels between tiles."""
    return max(1, side // GAP)


def _white(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def _put(sheet: np.ndarray, y: int, x: int, image: np.ndarray) -> None:
    side = image.shape[-1]
    sheet[y : y + side, x : x + side] = image.transpose(1, 2, 0)


# ------------------------------------------------------------------------------------------------- which sources


def fitted_to_grid(positions: Sequence[int], count: int) -> list[int]:
    """The wanted positions among `count` images of a class; the first ones if there are not so many."""
    return list(positions) if max(positions) < count else list(range(min(len(positions), count)))


def grid_rows_of(translations: Translations, label: int, positions: Sequence[int]) -> np.ndarray:
    """Rows of the translations whose sources are those `positions` of the class `label`."""
    return np.flatnonzero(translations.labels == label)[list(positions)]


def _fewest(each: Sequence[Translations], label: int) -> int:
    """How many sources of a class all of them have: the n-th is then the same image for all."""
    return min(int((one.labels == label).sum()) for one in each)


# ---------------------------------------------------------------------------------------------------------- figures


@dataclass(frozen=True)
class Grid:
    """What the grids of the paper have in common: slots, and a direction."""

    slots: tuple[FigureSlot, ...]
    directions: tuple[int, ...] = (0,)
    """Numbers of the task's directions; a task that has fewer shows its last one."""
    across: int = 3
    """Blocks side by side."""

    def blocks(self, data: TaskData, shown: Sequence[ShownTile]) -> tuple[list[GridBlock], list[str]]:
        """The sheets, and the lines that say what they are."""
        raise NotImplementedError

    def draw(self, request: FigureRequest, collected: CollectedCells, data: TaskData, heading: PageHeading,
             remedy: FigureRemedy) -> DrawnAxes:  # fmt: skip
        """All blocks on one page. Raises BenchError for cells of other data, and if none has translations."""
        if data.version != collected.setting.data_version:
            raise BenchError(
                f"figure {request.name}: the cells are of data {collected.setting.data_version}, and what is here "
                f"({data.note}) is {data.version}",
                f"give that data with --data or $UDT_BENCH_FILES, or run it anew: {remedy}",
            )
        task = TASKS[request.task]
        wanted = list(dict.fromkeys(min(number, len(task.directions) - 1) for number in self.directions))
        shown, missing = _shown(collected, data, [task.directions[number] for number in wanted])
        if not shown:
            raise BenchError(f"figure {request.name}: {'; '.join(missing)}", str(remedy))
        blocks, lines = self.blocks(data, shown)
        caption = [*lines, *grid_origins(shown), *collected.notes, *with_commands_below_axes(missing, remedy)]
        return DrawnAxes(_page(heading, blocks, caption, self.across).figure, caption, missing)


@dataclass(frozen=True)
class ShownTile:
    """The translations of one slot in one direction."""

    found: SlotCells
    made: Translations
    direction: str
    style: str
    """`noise`, `exemplar`, `none`."""
    seed: int
    images: np.ndarray
    """uint8 (S, 3, H, W): all test images of the source domain."""

    def sources(self, rows: np.ndarray) -> np.ndarray:
        """uint8 (R, 3, H, W): what was translated into these rows."""
        return np.array(self.images[self.made.index[rows]])

    def styles(self, rows: np.ndarray, count: int) -> np.ndarray:
        """uint8 (R, count, 3, H, W); what a deterministic method makes is repeated."""
        images = self.made.images[rows][:, :count]
        return np.repeat(images, count, axis=1) if images.shape[1] == 1 else images


@dataclass(frozen=True)
class StyleGrid(Grid):
    """Per slot: one source of each class on top, all styles below."""

    positions: tuple[int, ...] = ()
    """Which source of each class, counted from 0 in the order of content hashes; 0 where there is none."""

    def blocks(self, data: TaskData, shown: Sequence[ShownTile]) -> tuple[list[GridBlock], list[str]]:
        """One per slot and direction."""
        translations = [one.made for one in shown]
        labels, picks = self._sources(data, translations)
        styles = max(one.made.images.shape[1] for one in shown)
        sheets = []
        for one in shown:
            rows = np.array(
                [grid_rows_of(one.made, label, [pick])[0] for label, pick in zip(labels, picks, strict=True)]
            )
            sheet = grid_of_styles(one.sources(rows), one.styles(rows, styles))
            names = tuple(data.groups[label] for label in labels)
            sheets.append(GridBlock(one.found.label, sheet, names, _style_rows(styles), data.size))
        which = _numbered([data.groups[label] for label in labels] if data.labelled else [], picks)
        return sheets, [f"{direction_on_axes(shown[0].direction)}. Top row, from left to right: {which}."]

    def _sources(self, data: TaskData, translations: Sequence[Translations]) -> tuple[list[int], list[int]]:
        """(class, position in it) of each source; without classes the first ones."""
        if not data.labelled:
            count = min(SHOWN_WITHOUT_CLASSES, _fewest(translations, 0))
            return [0] * count, list(range(count))
        labels = [label for label in range(len(data.classes)) if _fewest(translations, label)][:MOST_CLASSES]
        wanted = [self.positions[label] if label < len(self.positions) else 0 for label in labels]
        return labels, [
            fitted_to_grid([want], _fewest(translations, label))[0] for want, label in zip(wanted, labels, strict=True)
        ]


@dataclass(frozen=True)
class PairGrid(Grid):
    """Per direction and slot: sources and their first translations in alternating columns."""

    per_class: int = 3
    """Sources of each class."""

    def blocks(self, data: TaskData, shown: Sequence[ShownTile]) -> tuple[list[GridBlock], list[str]]:
        """All slots of one direction, then those of the next."""
        translations = [one.made for one in shown]
        labels = [label for label in range(len(data.groups)) if _fewest(translations, label)][:MOST_CLASSES]
        wanted = self.per_class * (1 if data.labelled else SHOWN_WITHOUT_CLASSES)
        count = min(wanted, *(_fewest(translations, label) for label in labels))
        sheets: list[GridBlock] = []
        last = ""
        for one in sorted(shown, key=lambda one: one.direction != shown[0].direction):
            rows = np.array([grid_rows_of(one.made, label, [n])[0] for n in range(count) for label in labels])
            sheet = grid_of_pairs(one.sources(rows), one.made.images[rows, 0])
            title = f"{one.found.label}, {direction_on_axes(one.direction)}"
            turns = bool(sheets) and one.direction != last
            sheets.append(GridBlock(title, sheet, (), (), data.size, turns))
            last = one.direction
        names = ", ".join(data.groups[label] for label in labels)
        return sheets, [
            "Pairs: a test image and its translation in its first style. Row by row: "
            + (
                f"the first image of each class ({names}) in the order of content hashes, then the next of each, "
                f"{count} in all."
                if data.labelled
                else f"the first {count} in the order of content hashes."
            )
        ]


@dataclass(frozen=True)
class ClassGrid(Grid):
    """Per class: several sources of it on top, all styles below; of one slot."""

    positions: tuple[tuple[int, ...], ...] = ()
    """Which sources of each class, as in the paper."""

    def blocks(self, data: TaskData, shown: Sequence[ShownTile]) -> tuple[list[GridBlock], list[str]]:
        """One per class."""
        sheets, lines = [], []
        one = shown[0]
        for label, name in list(enumerate(data.groups))[:MOST_CLASSES]:
            count = _fewest([one.made], label)
            wanted = self.positions[label] if label < len(self.positions) else tuple(range(5))
            if count:
                picks = fitted_to_grid(wanted, count)
                rows = grid_rows_of(one.made, label, picks)
                styles = one.made.images.shape[1]
                sheet = grid_of_styles(one.sources(rows), one.styles(rows, styles))
                sheets.append(GridBlock(name, sheet, (), _style_rows(styles), data.size))
                lines.append(f"{name} {', '.join(str(pick + 1) for pick in picks)}".strip())
        which = f"test images with these numbers in the order of content hashes: {'; '.join(lines)}"
        return sheets, [f"{direction_on_axes(one.direction)}. Top rows: {which}."]


def _style_rows(styles: int) -> tuple[str, ...]:
    return ("source", *(f"style {k + 1}" for k in range(styles)))


def _numbered(classes: Sequence[str], picks: Sequence[int]) -> str:
    """Which image of each class; of no `classes`, the first ones."""
    if not classes:
        return f"the first {len(picks)} test images in the order of content hashes"
    if set(picks) == {0}:
        return f"the first image of each class ({', '.join(classes)}) in the order of content hashes"
    each = ", ".join(f"{name} {pick + 1}" for name, pick in zip(classes, picks, strict=True))
    return f"test images with these numbers in the order of content hashes: {each}"


# ------------------------------------------------------------------------------------------------- the translations


def _shown(
    collected: CollectedCells, data: TaskData, directions: Sequence[tuple[int, int]]
) -> tuple[list[ShownTile], list[str]]:
    """(the translations of every slot in every direction, what is missing and why)."""
    shown, missing = [], []
    for slot, cells in zip(collected.slots, collected.found, strict=True):
        for direction in directions:
            name = f"{data.domains[direction[0]]}->{data.domains[direction[1]]}"
            one = None if cells is None else _first_seed(collected, cells, data, direction, name)
            if one is not None:
                shown.append(one)
            elif cells is None:
                missing.append(f"{slot.label}: not run")
            elif "done" not in cells.states:
                missing.append(f"{slot.label}: {', '.join(cells.states)}")
            else:
                missing.append(
                    f"{slot.label}, {direction_on_axes(name)}: no translations that its metrics were made from "
                    f"({setting_command('evaluate', task=collected.task, methods=cells.method)})"
                )
    return shown, list(dict.fromkeys(missing))


def _first_seed(
    collected: CollectedCells, cells: SlotCells, data: TaskData, direction: tuple[int, int], name: str
) -> ShownTile | None:
    """The translations of the lowest seed that has any: nobody picks the prettiest."""
    from bench.evaluation.translate import scored_translations

    records = cells.records
    done = [cell for cell in cells.row.cells if records.text("state", cell) == "done"]
    for cell in sorted(done, key=records.seed):
        folder = collected.folder / records.text("folder", cell)
        styles = [style for style in STYLE_ORDER if (folder / f"metrics-{style}.json").exists()]
        for style in styles[:1]:
            record = json.loads((folder / f"metrics-{style}.json").read_text())
            path = folder / f"translations-{cell_direction_file(name)}-{style}.npy"
            translations = scored_translations(
                path, record["images"].get(name), data, direction, _per_class(record, collected)
            )
            if translations is not None:
                images = data.splits[direction[0], "test"].images
                return ShownTile(cells, translations, name, style, records.seed(cell), images)
    return None


def _per_class(record: Mapping[str, dict[str, int | None]], collected: CollectedCells) -> int | None:
    """How many sources of each class were translated; records of old versions do not say: the preset's."""
    if "size" in record:
        return record["size"]["sources_per_class"]
    preset = get_preset(collected.setting.preset, TASKS[collected.task].kind)
    return preset.evaluation.sources_per_class


def grid_origins(shown: Sequence[ShownTile]) -> list[str]:
    """Which seeds of the training, and where the styles are from."""
    seeds = {one.seed for one in shown}
    each = ", ".join(dict.fromkeys(f"{one.found.label} {one.seed}" for one in shown))
    lines = [f"Seed of the training: {seeds.pop() if len(seeds) == 1 else each} (the lowest that is stored)."]
    names = {
        style: list(dict.fromkeys(one.found.label for one in shown if one.style == style)) for style in STYLE_ORDER
    }
    origin = []
    if names["noise"]:
        origin.append("style k of a source is one z, the same for all methods (not for all sources)")
    if names["exemplar"]:
        origin.append(f"{', '.join(names['exemplar'])}: style k is an exemplar, a training image of the target domain")
    if names["none"]:
        origin.append(f"{', '.join(names['none'])}: deterministic")
    return [*lines, f"Styles: {'; '.join(origin)}."]


# ------------------------------------------------------------------------------------------------------- the page


def _page(heading: PageHeading, blocks: Sequence[GridBlock], caption: Sequence[str], across: int) -> FigurePage:
    """Blocks row by row, all tiles of one size: whole pixels where they are enlarged."""
    places = placed_in_grid([block.new_row for block in blocks], across)
    across = 1 + max(column for _, column in places)
    widest = max(block.sheet.shape[1] for block in blocks)
    left = ROWS if any(block.rows for block in blocks) else 0.0
    pixel = _inches_per_pixel((WIDTH - 2 * MARGIN - left - (across - 1) * BETWEEN) / across / widest, blocks[0].side)
    blocks = [replace(block, columns=block.columns if _fit(block, pixel) else ()) for block in blocks]
    above = TITLE + (NAMES if any(block.columns for block in blocks) else 0.0)
    width, height = widest * pixel + BETWEEN, above + max(block.sheet.shape[0] for block in blocks) * pixel + BETWEEN
    page = FigurePage(heading, (1 + places[-1][0]) * height, caption)
    for block, (row, column) in zip(blocks, places, strict=True):
        top = page.content[3] - row * height - above
        _draw_block(page, block, left + column * width, top, pixel, with_rows=column == 0)
    return page


def placed_in_grid(new_rows: Sequence[bool], across: int) -> list[tuple[int, int]]:
    """(row, column) of each block: at most `across` in a row, and a new row where one begins it."""
    places: list[tuple[int, int]] = []
    for new_row in new_rows:
        row, column = places[-1] if places else (0, -1)
        places.append((row + 1, 0) if places and (new_row or column + 1 == across) else (row, column + 1))
    return places


def _inches_per_pixel(most: float, side: int) -> float:
    """At most `most`, tiles no larger than LARGEST_TILE; a whole number of dots a pixel, if it is one at least."""
    most = min(most, LARGEST_TILE / side)
    return max(1, int(most * DPI)) / DPI if most * DPI >= 1 else most


def _fit(block: GridBlock, pixel: float) -> bool:
    """Whether each column's name has room above it; where one has none, the caption alone names them."""
    return all(page_text_width(name) <= (block.side + grid_gap(block.side)) * pixel for name in block.columns)


def _draw_block(page: FigurePage, block: GridBlock, x: float, top: float, pixel: float, with_rows: bool) -> None:
    height, width = block.sheet.shape[0] * pixel, block.sheet.shape[1] * pixel
    axes = page.axes(x, top - height, width, height)
    enlarged = pixel * DPI >= 1
    axes.imshow(block.sheet, interpolation="nearest" if enlarged else "antialiased", aspect="auto")
    axes.set_axis_off()
    step = block.side + grid_gap(block.side)
    axes.set_title(block.title, size=SIZE, weight="bold", loc="left", pad=3 + (NAMES * 72 if block.columns else 0),
                   parse_math=False)  # fmt: skip
    for column, name in enumerate(block.columns):
        axes.text(column * step + block.side / 2, -0.5 - 2 / 72 / pixel, name, size=SIZE, ha="center", va="bottom",
                  parse_math=False)  # fmt: skip
    if with_rows:
        for row, name in enumerate(block.rows):
            y = row * step + block.side / 2 + (2 * grid_gap(block.side) if row else 0)
            axes.text(-0.5 - 3 / 72 / pixel, y, name, size=SIZE, ha="right", va="center", parse_math=False)
