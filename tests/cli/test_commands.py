"""The command line itself: fast help, listings, an entry point that needs nothing heavy."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from bench.cli.commands import main

LEVELS = [
    [], ["run"], ["evaluate"], ["semantics"], ["sweep"], ["table"], ["compare"], ["report"], ["claims"], ["figure"],
    ["list"], ["fetch"], ["doctor"], ["conform"], ["check"], ["export"], ["score"],
    ["baseline"], ["baseline", "save"], ["baseline", "list"],
]  # fmt: skip


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: " ".join(level) or "top")
def test_help_imports_nothing_heavy(level: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['bench', *sys.argv[1:]]\n"
        "from bench.cli.commands import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert stop.code in (0, None), stop.code\n"
        "heavy = {'torch', 'numpy', 'pandas', 'rich', 'PIL', 'scipy', 'omegaconf', 'pydantic',"
        " 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *level, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


@pytest.mark.benchmark
@pytest.mark.parametrize("level", LEVELS, ids=lambda level: " ".join(level) or "top")
def test_help_answers_within_a_third_of_a_second(level: list[str]) -> None:
    seconds = []
    for _ in range(5):
        start = time.monotonic()
        subprocess.run([sys.executable, "-m", "bench", *level, "--help"], capture_output=True, check=True)
        seconds.append(time.monotonic() - start)
    assert min(seconds) < 0.3


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("tasks", "sketch2real    quick 32 px, small 64 px, paper 256 px"),
        ("methods", "stargan_v2"),
        ("metrics", "fid ↓"),
        ("presets", "quick"),
        ("protocols", "fid-judge-v1 (comparable within one task, data version and preset only)"),
    ],
)
def test_list(what: str, expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "list", what])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    assert expected in capsys.readouterr().out


def test_fetch_list_names_every_file(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "fetch", "--list"])
    with pytest.raises(SystemExit):
        main()
    listing = capsys.readouterr().out
    for group in ("mnist", "svhn", "usps", "domainnet", "inception", "alexnet", "dinov2"):
        assert group in listing
