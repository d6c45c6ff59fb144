"""The program as a user has it: a wheel or a checkout, started in folders that have packages of our names."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MY_METHOD = """
from methods.cyclegan import CycleGAN
class Mine(CycleGAN):
    pass
"""
PLACES = (
    "import metrics, methods, bench\n"
    "from bench.core.installation import installed_results\n"
    "print(*(module.__path__[0] for module in (bench, methods, metrics)), installed_results(), sep='\\n')\n"
)
"""Prints where the three packages and the shipped results lie."""
SHIPPED = ("README.md", "paper.csv", "baselines/embedded/baseline.json", "baselines/embedded/code/inputs.npz")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this checkout by pip, without network."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "-w", str(folder), str(ROOT)], check=True, capture_output=True, text=True)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed into a folder of its own; scripts are in its bin/."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(folder), str(wheel)], check=True, capture_output=True, text=True)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's folder: packages named methods and metrics, a folder named bench, and a module with a method."""
    for name in ("methods", "metrics"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('this is the user\\'s own')")
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "timings.txt").write_text("1.5")
    (tmp_path / "my_method.py").write_text(MY_METHOD)
    return tmp_path


def started(command: list[str], folder: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    """`command` in `folder`, with `path` as $PYTHONPATH."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def program(way: str, site: Path) -> list[str]:
    """The first words of a command: of the module, or of the installed script."""
    return [sys.executable, "-m", "bench"] if way == "module" else [sys.executable, str(site / "bin" / "udt-bench")]


def test_the_wheel_has_what_commands_read_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"bench", "methods", "metrics"}
    files = [path for path in (ROOT / "bench").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {"page.html", "report.css", "table1.yaml"} <= {path.name for path in files}
    assert {str(path.relative_to(ROOT)) for path in files} <= names
    assert {name for name in names if name.startswith("bench/results/")} == {
        f"bench/{path.relative_to(ROOT)}"
        for path in [
            ROOT / "results" / "README.md",
            ROOT / "results" / "paper.csv",
            *(ROOT / "results" / "baselines" / "embedded").rglob("*"),
        ]
        if path.is_file()
    }


@pytest.mark.parametrize("way", ["module", "script"])
def test_a_users_folders_of_our_names_hide_nothing_and_the_method_beside_them_is_found(
    way: str, site: Path, home: Path
) -> None:
    check = ["conform", "my_method:Mine", "--size", "32", "--only", "config"]
    done = started([*program(way, site), *check], home, site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "my_method:Mine" in done.stdout


def test_spawned_processes_find_the_same(site: Path, home: Path) -> None:
    (home / "my_work.py").write_text(f"def work(order):\n    exec({PLACES!r})\n    return True\n")
    code = (
        "from bench.core.installation import prefer_installed_packages\nprefer_installed_packages()\nimport my_work\n"
        "from bench.runs.processes import run_in_processes\nassert run_in_processes([1], my_work.work, 1)\n"
    )
    done = started([sys.executable, "-c", code], home, site)
    assert done.returncode == 0, done.stderr
    places = [site / "bench", site / "methods", site / "metrics", site / "bench" / "results"]
    assert done.stdout.splitlines() == list(map(str, places))
    assert all((places[-1] / name).is_file() for name in SHIPPED)


@pytest.mark.parametrize("way", ["module", "script"])
def test_a_folder_that_hides_ours_all_the_same_is_named(way: str, site: Path, home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = started([*program(way, site), "list", "methods"], elsewhere, home, site)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: 'methods' is {home / 'methods'}, and not {site / 'methods'}, a part of udt")
    assert f"take {home} out of $PYTHONPATH" in done.stderr


def test_a_users_package_named_bench_is_what_python_starts_and_udt_bench_is_not_kept_from_work(
    site: Path, home: Path
) -> None:
    """What `python -m bench` means there is decided before any of our code runs: docs/command-line.md says so."""
    (home / "bench" / "__init__.py").write_text("")
    (listing := started([*program("script", site), "list", "methods"], home, site)).check_returncode()
    assert "stargan_v2" in listing.stdout
    done = started([*program("module", site), "list", "methods"], home, site)
    assert done.returncode == 1
    assert "No module named bench.__main__; 'bench' is a package and cannot be directly executed" in done.stderr


@pytest.mark.parametrize("folder", ["checkout", "elsewhere"])
def test_a_checkout_is_found_without_installation_and_as_an_editable_one(folder: str, tmp_path: Path) -> None:
    """An editable install is the checkout's folder in a .pth file, that is: on the path, as here."""
    expected = [*(str(ROOT / name) for name in ("bench", "methods", "metrics")), str(ROOT / "results")]
    code = "from bench.core.installation import prefer_installed_packages\nprefer_installed_packages()\n" + PLACES
    path = () if folder == "checkout" else (ROOT,)
    done = started([sys.executable, "-c", code], ROOT if folder == "checkout" else tmp_path, *path)
    assert done.stdout.splitlines() == expected, done.stderr
    assert all((ROOT / "results" / name).is_file() for name in SHIPPED)
