"""The list of claims: each refers to what exists, and the paper's own numbers say of each what is fixed here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.core.errors import BenchError
from bench.reporting.claims.claims import ADAPTED, CLAIMS, CLUSTERED, FID, SWEEP
from bench.reporting.claims.formula import Claim, ClaimSubject, FormulaPair, chain, formula_leaves, formulas_of_claim
from bench.reporting.claims.published_check import check_published
from bench.reporting.claims.run import OF_PAPER, claims_to_run
from bench.reporting.paper.published import published
from bench.reporting.paper.shapes import ALIGNMENT, STAGES
from bench.spec.protocols import PROTOCOLS
from bench.spec.tasks import get_task
from methods.cats_udt import CatsUDT
from methods.registry import registered

BY_NAME = {(claim.task, claim.name): claim for claim in CLAIMS}

PUBLISHED = {
    "mnist2svhn": {
        "accuracy": "yes", "accuracy-order": "yes", "fid": "yes", "loss-accuracy": "not printed",
        "loss-fid": "not printed", "adapted-accuracy": "not printed", "adapted-fid": "not printed",
        "encoder": "not printed", "weight-fid": "not printed", "weight-accuracy": "not printed",
        "conditioning-accuracy": "not printed", "conditioning-fid": "not printed", "clusters-mnist": "yes",
        "adapted-mnist": "yes", "adapted-svhn": "yes",
    },
    "sketch2real": {
        "fid": "yes", "fid-classes": "yes", "loss-fid": "yes", "loss-fid-classes": "yes", "each-loss": "no",
        "each-loss-classes": "no", "loss-accuracy": "not printed", "conditioning": "yes", "conditioning-classes": "yes",
        "collapse": "yes", "collapse-classes": "no", "one-style": "not printed", "modes": "yes",
        "less-diverse-lpips": "no", "less-diverse-ndb": "no", "less-diverse-jsd": "no", "small-map": "not printed",
        "clusters-reals": "yes", "adapted-reals": "yes", "adapted-sketches": "yes",
    },
}  # fmt: skip


def pairs(claim: Claim) -> list[FormulaPair]:
    return [] if claim.formula is None else list(formula_leaves(claim.formula))


def subjects(claim: Claim) -> set[ClaimSubject]:
    return {side for pair in pairs(claim) for side in (pair.better, pair.than) if isinstance(side, ClaimSubject)}


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(CLAIMS)
    assert set(PUBLISHED) == set(OF_PAPER)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.task}-{claim.name}")
def test_what_a_claim_refers_to_exists(claim: Claim) -> None:
    task = get_task(claim.task)
    keys = set(vars(CatsUDT.Config()))
    for subject in subjects(claim):
        for candidate in subject.candidates:
            assert candidate.method in (STAGES.values() if candidate.is_stage else registered())
            assert {key.partition(".")[0] for key, _ in candidate.settings} <= keys
    is_stage = any(subject.first.is_stage for subject in subjects(claim))
    for place in claim.places:
        assert place in ([(0,), (1,)] if is_stage else task.directions)
    for name in claim.measure.protocols:
        assert name == ALIGNMENT if is_stage else name in PROTOCOLS
    assert {number.table for number in published()} >= set(claim.printed)
    assert all(published(table=table, metric=claim.measure.metric) for table in claim.printed)
    assert claim.formula is not None or claim.remark
    assert "{2}" not in claim.text.format(*task.domains)


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.measure.metric in ("accuracy", "fid", "lpips")])
def test_directions_of_better_are_those_of_the_protocols(claim: Claim) -> None:
    """All but those about a lack of diversity, whose 'better' is less diverse."""
    own = {PROTOCOLS[name].higher_is_better for name in claim.measure.protocols}
    assert own == {claim.measure.higher_is_better != claim.name.startswith("less-diverse")}


def test_less_diverse_is_more_bins_and_more_divergence() -> None:
    for metric in ("ndb", "jsd"):
        assert BY_NAME["sketch2real", f"less-diverse-{metric}"].measure.higher_is_better


@pytest.mark.parametrize("task", PUBLISHED)
def test_what_the_papers_numbers_say(task: str) -> None:
    assert {claim.name: check_published(claim).answer for claim in claims_to_run(get_task(task))} == PUBLISHED[task]


def test_the_values_that_speak_against_a_claim_are_told_as_printed() -> None:
    assert check_published(BY_NAME["sketch2real", "each-loss"]).against == (
        "sketch->real: cats_udt 58.69, cats_udt:no_sty 53.43",
        "sketch->real: cats_udt 58.69, cats_udt:no_ds 58.47",
    )
    assert check_published(BY_NAME["sketch2real", "less-diverse-lpips"]).against == (
        "sketch->real: cats_udt 0.065, egsc_it 0.064",
    )
    assert len(check_published(BY_NAME["sketch2real", "less-diverse-ndb"]).against) == 4
    assert check_published(BY_NAME["sketch2real", "collapse-classes"]).against == (
        "sketch->real, tiger: cats_udt:content_vgg 228.84, cats_udt:content 212.69",
    )
    assert check_published(BY_NAME["mnist2svhn", "accuracy"]).against == ()


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.of_published_value], ids=lambda claim: claim.name)
def test_levels_are_the_published_ones(claim: Claim) -> None:
    (pair,) = pairs(claim)
    domain = get_task(claim.task).domains[claim.places[0][0]]
    (number,) = [
        of for of in published(table=claim.printed[0], metric=claim.measure.metric) if of.direction.lower() == domain
    ]
    assert pair.than == number.value
    assert f"{number.value:.{number.decimals}f} %" in claim.text


def test_margins_count_in_published_values() -> None:
    order = BY_NAME["mnist2svhn", "accuracy-order"]
    assert isinstance(pairs(order)[0].than, ClaimSubject)
    # 95.63 - 47.72 = 47.91
    for margin, answer in ((47.9, "yes"), (47.92, "no")):
        formula = chain([pairs(order)[0].better], [pairs(order)[0].than], first_by=margin)
        assert check_published(replace(order, formula=formula)).answer == answer


def test_one_value_that_is_not_printed_leaves_a_claim_open_unless_another_is_against_it() -> None:
    whole = BY_NAME["mnist2svhn", "accuracy"]
    (pair, *_) = pairs(whole)
    other = ClaimSubject((replace(pair.better.first, method="cats_udt:none"),))
    assert pair.than != other
    assert isinstance(pair.than, ClaimSubject)
    assert check_published(replace(whole, formula=chain([pair.better], [pair.than, other]))).answer == "not printed"
    assert check_published(replace(whole, formula=chain([pair.than], [pair.better, other]))).answer == "no"


def test_what_is_compared_stands_in_the_comparison() -> None:
    told = {
        (claim.task, claim.name): [of.sentence() for of in formula_leaves(found)]
        for claim in CLAIMS
        if (found := formulas_of_claim(claim, get_task(claim.task).domains, get_task(claim.task).classes)) is not None
    }
    assert told["mnist2svhn", "accuracy-order"] == [
        "mnist->svhn: cats_udt > egsc_it + 20",
        "mnist->svhn: egsc_it > stargan_v2:cats",
        "mnist->svhn: stargan_v2:cats > cyclegan",
        "mnist->svhn: stargan_v2:cats > munit",
        "mnist->svhn: stargan_v2:cats > drit",
    ]
    assert told["mnist2svhn", "weight-accuracy"] == ["svhn->mnist: cats_udt > cats_udt [lambda_sem=10]"]
    assert "svhn->mnist: cats_udt:none > cats_udt - 5" in told["mnist2svhn", "conditioning-accuracy"]
    assert told["mnist2svhn", "clusters-mnist"] == ["mnist: semantics:imsat > 98.24 - 2"]
    assert told["mnist2svhn", "weight-fid"][:2] == [
        "mnist->svhn: cats_udt [lambda_sem=0.1] < cats_udt:no_sem",
        "mnist->svhn: cats_udt [lambda_sem=0.1] < cats_udt [lambda_sem=10]",
    ]
    assert len(told["mnist2svhn", "weight-fid"]) == 2 * (len(SWEEP) - 2)
    assert told["sketch2real", "fid-classes"][0] == "sketch->real, bird: cats_udt < cyclegan"
    assert len(told["sketch2real", "fid-classes"]) == 5 * 4
    assert len(told["mnist2svhn", "accuracy"]) == 2 * 5


def test_claims_are_carried_to_tasks_of_the_same_kind_without_published_values() -> None:
    for name, paper in (("mnist2usps", "mnist2svhn"), ("pacs", "sketch2real")):
        carried, own = claims_to_run(get_task(name)), claims_to_run(get_task(paper))
        assert set(own) - set(carried) == {claim for claim in own if claim.measure in (CLUSTERED, ADAPTED)}
        assert set(carried) < set(own)
    with pytest.raises(BenchError, match="no claim is about the task 'folder'"):
        claims_to_run(get_task("folder"))


def test_the_protocols_are_those_of_the_papers_tables() -> None:
    assert FID.protocols[0] == "fid-pytorch-paper-v1"
    assert BY_NAME["mnist2svhn", "fid"].measure.protocols[0] == "fid-pytorch-paper-test-v1"
