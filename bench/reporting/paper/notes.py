"""What is said above and below a table of the paper, apart from what a mark explains."""

from __future__ import annotations

from collections.abc import Sequence

from bench.reporting.paper.published import published_inconsistencies
from bench.reporting.paper.shapes import JUDGE, STAGES, PaperShape
from bench.reporting.paper.values import PaperMeasurements, places_of_values
from bench.reporting.setting import Commands
from bench.reporting.tables.table import Footnote

_NO_METHODS = {JUDGE, *STAGES.values()}


def paper_sources_note(shape: PaperShape) -> list[str]:
    """Where its numbers come from, as in `Published.table`."""
    return list(dict.fromkeys(place.published.table for place in places_of_values(shape.lines)))


def paper_header_notes(shape: PaperShape, measured: PaperMeasurements) -> tuple[str, ...]:
    """The source of the published values; which of ours stand where, by which protocols, in which setting."""
    methods = []
    for index, column in enumerate(shape.columns):
        name = next(measured.methods[place.candidates] for line in shape.lines if (place := line.places[index]))
        if name not in _NO_METHODS:
            methods.append(f"{column.label} = {name}")
    protocols = dict.fromkeys(measured.protocols[chain] for line in shape.lines for chain in line.chains)
    lines = ["published: Lavoie et al., ICLR 2021, arXiv 2010.01262"]
    if methods:
        lines.append("ours: " + ", ".join(methods))
    lines.append(f"ours by {', '.join(protocols)}; {measured.setting or 'nothing measured yet'}")
    return tuple(lines)


def plain_paper_notes(
    shape: PaperShape, measured: PaperMeasurements, tests: Sequence[str], commands: Commands | None
) -> list[Footnote]:
    """How to read ours, what to type for what is missing, and what is wrong with the paper's table as a whole."""
    missing = _missing(shape, measured, commands) if commands else []
    return [*_reading(shape, measured, tests), *missing, *_inconsistencies(shape)]


def _reading(shape: PaperShape, measured: PaperMeasurements, tests: Sequence[str]) -> list[Footnote]:
    notes = []
    if any(result.values for result in measured.measured.values()):
        notes.append(
            "ours: mean ± sample standard deviation over seeds, and [k/n] where only k of n seeds have a value"
        )
    if any(measured.compares(chain) for line in shape.lines for chain in line.chains):
        notes.append(
            "difference: ours less published, with the 95 % interval of ours (over seeds; for one seed over images): "
            "the paper gives no deviations"
        )
    notes += [f"ours, {test}" for test in tests]
    unequal = [line.label for line in shape.lines if any(measured.unequal(line, chain) for chain in line.chains)]
    if unequal:
        rows = ", ".join(unequal)
        notes.append(f"not compared, and so not bold, because their numbers of images differ: ours of {rows}")
    notes += [
        f"{used} stands in for {candidates[0]}, which the paper's authors ran"
        for candidates, used in measured.methods.items()
        if used != candidates[0]
    ]
    return [Footnote(text) for text in notes]


def _missing(shape: PaperShape, measured: PaperMeasurements, commands: Commands) -> list[Footnote]:
    """What to type for what is not there, task by task. The judge's accuracy comes with any run."""
    notes = []
    asked = [(place, chain) for line in shape.lines for place in places_of_values([line]) for chain in line.chains]
    for task in dict.fromkeys(place.task for place, _ in asked):
        of_task = [key for key in asked if key[0].task == task]
        missing = [
            measured.methods[place.candidates] for place, chain in of_task if (place, chain) not in measured.measured
        ]
        known = {measured.methods[place.candidates] for place, chain in of_task if (place, chain) in measured.measured}
        names = list(dict.fromkeys(missing))
        if new := [name for name in names if name not in known | _NO_METHODS]:
            notes.append(Footnote("not measured (-); this measures it", command=commands.run(task, new)))
        for stage in (stage for stage, name in STAGES.items() if name in names):
            typed = commands.semantics(task, stage)
            notes.append(Footnote("clusters not measured (-); this measures them", command=typed))
        if old := [name for name in names if name in known - _NO_METHODS]:
            notes.append(
                Footnote("trained, but not scored so (-); this scores it", command=commands.evaluate(task, old))
            )
    return notes


def _inconsistencies(shape: PaperShape) -> list[Footnote]:
    """The inconsistencies of the whole table."""
    notes = dict.fromkeys(note for source in paper_sources_note(shape) for note in published_inconsistencies(source))
    numbers = [place.published for place in places_of_values(shape.lines)]
    return [Footnote(note.footnote) for note in notes if not any(map(note.about, numbers))]
