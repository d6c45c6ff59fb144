"""What a shell offers behind TAB is what the commands take."""

from __future__ import annotations

from bench.cli import completion
from bench.cli.completion import complete_joined, complete_one
from bench.cli.listing import LISTINGS
from bench.runs.sweep.file import find_sweep_file
from bench.spec.methods import target_of_method
from bench.spec.presets import get_preset
from bench.spec.protocols import select_protocols
from bench.spec.tasks import get_task
from methods.registry import load_registered


def test_every_name_that_is_offered_is_taken() -> None:
    for task in completion.complete_tasks():
        assert get_task(task).name == task
    for preset in completion.complete_presets():
        assert get_preset(preset, "pictures").methods
    on_request, always = list(completion.complete_protocols()), {protocol.name for protocol in select_protocols()}
    assert {protocol.name for protocol in select_protocols(on_request)} == always | set(on_request)
    assert always.isdisjoint(on_request)
    for sweep in completion.complete_sweeps():
        assert find_sweep_file(sweep).is_file()
    assert set(completion.complete_listings()) == set(LISTINGS)
    for method in ("cyclegan", "cats_udt"):
        assert method in completion.complete_methods()
        assert load_registered(target_of_method(method)).Config


def test_the_last_of_several_names_is_completed() -> None:
    assert complete_one(completion.complete_presets)("qu") == ["quick"]
    assert complete_one(completion.complete_presets)("x") == []
    names = complete_joined(lambda: ["munit", "munit_a", "drit"])
    assert names("mu") == ["munit", "munit_a"]
    assert names("drit,mu") == ["drit,munit", "drit,munit_a"]
    assert names("munit,drit,") == ["munit,drit,munit_a"]  # what stands there already is not offered again
