"""What was measured, and which of it stands in a table of the paper: one protocol a row, one method a column."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bench.reporting.paper.shapes import JUDGE, PaperRow, PaperShape, ShapeChain, ShapePlace


@dataclass(frozen=True)
class Measured:
    """What was measured of one method in one direction, by one protocol: all seeds of one setting."""

    values: tuple[float, ...]
    """One per seed that has a value."""
    failed: tuple[str, ...] = ()
    """One reason per seed whose training failed."""
    missing: tuple[str, ...] = ()
    """One reason per seed that was trained and has no value by this protocol (`needs: bench fetch ...`)."""
    protocol: str = ""
    """The protocol asked for."""
    n: int = 0
    """Translated images or sources."""
    n_reference: int = 0
    """Real images on the other side; 0: none."""
    setting: str = ""
    """How it was trained and on what, as it is to be read in the table: `quick, embedded data, 32 px`."""
    comparable: bool = False
    """Whether that is the paper's setting: published settings, the published data, its size."""
    floor: float | None = None
    """The same metric between real images, at this n."""
    image_deviation: float | None = None
    """Standard deviation over images of a single seed's value."""

    @property
    def images(self) -> tuple[int, int]:
        """(n, n_reference)."""
        return self.n, self.n_reference


Lookup = Callable[[str, str, str, str, str], Measured | None]
"""(method, task, direction, label, protocol) -> what was measured; None: nothing. For `method` see OURS, VARIANTS,
JUDGE and STAGES in paper_shapes.py. All that one table gets must be of one setting."""


@dataclass
class PaperMeasurements:
    """The measurements of one table."""

    measured: dict[tuple[ShapePlace, ShapeChain], Measured] = field(default_factory=dict)
    protocols: dict[ShapeChain, str] = field(default_factory=dict)
    """The protocol of each chain: the first by which anything was measured."""
    methods: dict[tuple[str, ...], str] = field(default_factory=dict)
    """Candidates -> the one that stands in the table: the first of which anything was measured."""
    setting: str = ""
    comparable: bool = False

    def stands_in(self, chain: ShapeChain) -> bool:
        """Whether another protocol than the one nearest to the paper's was measured."""
        return self.protocols[chain] != chain.protocols[0]

    def compares(self, chain: ShapeChain) -> bool:
        """Whether a difference from the paper may be taken."""
        return self.comparable and chain.compares and not self.stands_in(chain)

    def competing(self, line: PaperRow, chain: ShapeChain) -> dict[str, Measured]:
        """First candidate -> what was measured, of the methods of a row that have values; not the judge's."""
        return {
            place.candidates[0]: result
            for place in line.places
            if place
            and JUDGE not in place.candidates
            and (result := self.measured.get((place, chain)))
            and result.values
        }

    def unequal(self, line: PaperRow, chain: ShapeChain) -> bool:
        """Whether the values of a row are of different numbers of images: they say nothing of who is better."""
        return len({result.images for result in self.competing(line, chain).values()}) > 1


def places_of_values(lines: Iterable[PaperRow]) -> list[ShapePlace]:
    """All places of `lines` that have a published number."""
    return [place for line in lines for place in line.places if place]


def find_value(shape: PaperShape, lookup: Lookup) -> PaperMeasurements:
    """Ask `lookup` for every place of `shape`. ValueError if what it gives is of several settings."""
    asked = [(place, chain) for line in shape.lines for place in places_of_values([line]) for chain in line.chains]
    every = {
        (place, chain, method, protocol): result
        for place, chain in asked
        for method in place.candidates
        for protocol in chain.protocols
        if (result := lookup(method, place.task, place.direction, place.label, protocol)) is not None
    }
    valued = {key for key, result in every.items() if result.values}
    measurements = PaperMeasurements()
    for place, chain in asked:
        # A protocol or a method without a single value stands in the table only if no other has one.
        by = {key[3] for key in valued if key[1] == chain} or {key[3] for key in every if key[1] == chain}
        measurements.protocols[chain] = next((name for name in chain.protocols if name in by), chain.protocols[0])
        names = {key[2] for key in valued if key[2] in place.candidates} or {key[2] for key in every}
        measurements.methods[place.candidates] = next(
            (name for name in place.candidates if name in names), place.candidates[0]
        )
    for place, chain in asked:
        key = (place, chain, measurements.methods[place.candidates], measurements.protocols[chain])
        if key in every:
            measurements.measured[place, chain] = every[key]
    settings = {(result.setting, result.comparable) for result in measurements.measured.values()}
    if len(settings) > 1:
        raise ValueError(f"{shape.title}: measurements of several settings: {sorted(settings)}")
    measurements.setting, measurements.comparable = settings.pop() if settings else ("", False)
    return measurements
