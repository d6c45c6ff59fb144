"""The first screen: how much of it there is, what stands on it, and which setting it is of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from board_cells import FLOOR, add, record

from bench.reporting.leaderboard.first_screen import first_screen
from bench.reporting.table_command import TableRequest, run_table_command
from bench.spec.run_spec import Budget

METHODS = ("cyclegan", "munit", "drit", "stargan_v2", "egsc_it", "cats_udt")


def six_methods(root: Path, directions: tuple[str, ...] = ("ink->paint",), seeds: int = 1) -> None:
    for number, method in enumerate(METHODS):
        for seed in range(seeds):
            every = []
            for direction in directions:
                more = {"direction": direction, "n": 50}
                value = 20.0 + 3 * number + seed / 8
                diversity = 0.0 if method == "cyclegan" else 0.1
                every += [
                    record(value, deviation=1.0, **{**FLOOR, **more}),
                    record(value / 900, metric="kid", protocol="kid-judge-v1", deviation=0.01, **more),
                    record(90 - value, metric="accuracy", protocol="accuracy-judge-v1", deviation=3.0, n_reference=0,
                           on_real=97.5, direction=direction),
                    record(diversity, metric="judge_diversity", protocol="diversity-judge-v1", deviation=0.01, **more),
                    record(None, metric="lpips", protocol="lpips-alexnet-v1", encoder="", direction=direction,
                           missing="needs: bench fetch alexnet"),
                    record(None, protocol="fid-inception-v1", encoder="", direction=direction,
                           missing="needs: bench fetch inception"),
                ]  # fmt: skip
            add(root, every, method=method, seed=seed)


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("seeds", [1, 3])
def test_six_methods_fit_on_a_screen(width: int, seeds: int, tmp_path: Path) -> None:
    six_methods(tmp_path, seeds=seeds)
    add(tmp_path, [], state="failed", method="other [a long name that goes on and on]", seed=9)
    lines = first_screen(tmp_path, "folder", width).split("\n")
    assert max(map(len, lines)) <= width
    below = lines[len(lines) - lines[::-1].index("") :]
    if width >= 100:
        assert len(lines) <= 30
        assert len(below) <= 6
    heading = next(line for line in lines if line.startswith("ink->paint"))
    assert len(heading.split("  ")) >= 2
    for name in METHODS:
        assert sum(line.startswith(f"{name} ") for line in lines) == 1
    if width >= 100:
        assert all(name in heading for name in ("accuracy % ↑", "FID ↓", "KID ↓", "diversity ↑", "train s"))


def test_what_stands_on_it(tmp_path: Path) -> None:
    six_methods(tmp_path)
    text = first_screen(tmp_path, "folder", 100)
    row = {line.split()[0]: line.split() for line in text.split("\n") if line}
    assert row["cyclegan"][1:] == ["70.00*", "20.00*", "0.0222*", "none", "62"]
    assert row["munit"][1:3] == ["67.00*", "23.00"]  # FID: 3 apart, with 1.41 of deviation: p = 0.034
    assert row["cats_udt"][2] == "35.00"
    assert "(real test images)" in text
    assert "(floor: real images)" in text
    assert text.count("lpips-alexnet-v1") == 1
    assert "python -m bench fetch alexnet inception, then" in text
    assert "over the images of one seed, not over other trainings" in text
    assert "--full" in text
    assert "python -m bench report" in text


def test_a_weak_judges_values_are_never_the_best(tmp_path: Path) -> None:
    """Where another judge is there, and is not weak, its values stand in place of them."""
    for method, value in (("cyclegan", 60.0), ("munit", 10.0)):
        judged = {"metric": "accuracy", "protocol": "accuracy-judge-v1", "n_reference": 0, "deviation": 3.0}
        add(tmp_path, [record(value, **judged, on_real=55.0)], method=method)
    text = first_screen(tmp_path, "folder", 100)
    assert "60.00?" in text
    assert "10.00?" in text
    assert "?: weak judge: right on 55 % of real images, at least 80 % wanted" in text
    assert "*" not in text
    assert "no mark" not in text
    for method, value in (("cyclegan", 50.0), ("munit", 20.0)):
        judged = {"metric": "accuracy", "n_reference": 0, "deviation": 3.0}
        weak = record(value + 10, **judged, protocol="accuracy-judge-v1", on_real=55.0)
        probe = record(value, **judged, protocol="accuracy-probe-v1", on_real=95.0, encoder="probe")
        add(tmp_path, [weak, probe], method=method, data_version="v2")
    text = first_screen(tmp_path, "folder", 100, lambda setting: setting.data_version == "v2")
    assert "by accuracy-probe-v1" in text
    assert "50.00*" in text


def test_two_directions_are_two_tables(tmp_path: Path) -> None:
    six_methods(tmp_path, ("ink->paint", "paint->ink"), seeds=2)
    lines = first_screen(tmp_path, "folder", 100).split("\n")
    assert [sum(line.startswith(name) for line in lines) for name in ("ink->paint", "paint->ink", "munit ")] == [
        1,
        1,
        2,
    ]
    assert sum("±: deviation between seeds" in line for line in lines) == 1


def test_the_setting_is_the_newest_one_that_is_wanted_and_others_are_a_line_each(tmp_path: Path) -> None:
    first = add(tmp_path, [record(1.0)])
    second = add(tmp_path, [record(2.0)], preset="paper")
    third = add(tmp_path, [record(3.0)], budget=Budget("images", 7))
    for age, cell in enumerate((second, third, first)):
        os.utime(cell.folder, (1e9 - age, 1e9 - age))
    text = first_screen(tmp_path, "folder", 200)
    assert text.startswith("folder: real data at 32 px, preset paper, images=100\n")
    also = [line for line in text.split("\n") if line.startswith("also: ")]
    assert len(also) == 2
    assert any(
        line.endswith("python -m bench table --task folder --preset quick --data real --budget images=7")
        for line in also
    )
    newest = first_screen(tmp_path, "folder", 200, lambda setting: setting.preset == "quick")
    assert newest.startswith("folder: real data at 32 px, preset quick, images=7\n")
    assert first_screen(tmp_path / "nothing", "folder", 100) == ""


def test_nothing_scored_is_a_state(tmp_path: Path) -> None:
    add(tmp_path, [], state="failed", method="drit")
    text = first_screen(tmp_path, "folder", 100)
    assert "failed: drit seed 0: loss is not finite (step 7)" in text
    assert any(line.split() == ["drit", "failed"] for line in text.split("\n"))


def test_a_terminal_gets_it_and_full_and_pipes_get_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    six_methods(tmp_path)
    values = {"task": "folder", "paper": "", "form": "", "out": None, "preset": "", "data": "", "budget": ""}

    def printed(**changes: object) -> str:
        assert run_table_command(TableRequest(results=tmp_path, **{**values, **changes})) == 0  # type: ignore[arg-type]
        return capsys.readouterr().out

    piped = printed()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    assert printed() == first_screen(tmp_path, "folder", 100) + "\n"
    assert "95 % over images" in printed(full=True)
    assert "95 % over images" in piped
