"""CatS-UDT: the step term by term, its options, the draws by cluster, inference, and the traps."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from determined import domains, fill, numbers
from torch import Tensor, nn

from bench.spec.methods import method_config_with_clusters, method_settings
from bench.spec.presets import PRESETS
from bench.spec.run_spec import flat_spec_values, spec_config
from bench.spec.tasks import TASKS
from methods.base import Code, Context, Exemplar, Noise, Progress
from methods.category_tables import CategoryTables
from methods.cats_udt import Batch, CatsUDT, CatsUDTConfig
from methods.registry import VARIANTS, registered
from methods.semantics.adaptation import FEATURE_SPACE, AdaptationConfig
from methods.semantics.config import SemanticsConfig
from methods.semantics.imsat import IMSATConfig

SIZE = 16
K = 3
NETWORKS = ("generator", "mapping_network", "style_encoder", "discriminator")
SMALL = CatsUDTConfig(
    clusters=K, max_width=8, base_width=4, content_size=8, bottleneck_blocks=1, style_dim=5, mapping_width=8,
    latent_dim=6, batch_size=4, crop_probability=0.0, flip=False,
    semantics=SemanticsConfig(adaptation=AdaptationConfig(width=4), imsat=IMSATConfig(width=4)),
)  # fmt: skip


def method(**settings: Any) -> CatsUDT:
    """With determined weights, other ones in the averaged networks and in h."""
    built = CatsUDT(replace(SMALL, **settings), SIZE)
    for salt, name in enumerate(NETWORKS):
        fill(getattr(built, name), salt)
    for salt, network in enumerate(built.ema.values()):
        fill(network, 10 + salt)
    return built.double()


def batch() -> Batch:
    """Determined; every pair of domains occurs."""
    images = [numbers(tag, 4, 3, SIZE, SIZE) for tag in (1, 2, 3)]
    return Batch(
        x_source=images[0], d_source=torch.tensor([0, 1, 0, 1]), cluster=torch.tensor([2, 0, 1, 1]), x_ref=images[1],
        x_ref2=images[2], d_target=torch.tensor([1, 0, 0, 1]), z=numbers(4, 4, 6), z2=numbers(5, 4, 6),
        lambda_ds=torch.tensor(1.5, dtype=torch.float64),
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------------- the step


def discriminator_losses(m: CatsUDT, b: Batch, s: Tensor) -> dict[str, Tensor]:
    """Discriminator losses written out."""
    with torch.no_grad():
        fake = m.generator(b.x_source, s)
    x = b.x_source.clone().requires_grad_()
    logits, classes = m.discriminator(x, b.d_source)
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    ones = torch.ones_like(logits)
    return {
        "real": F.binary_cross_entropy_with_logits(logits, ones),
        "fake": F.binary_cross_entropy_with_logits(m.discriminator(fake, b.d_target)[0], 0 * ones),
        "r1": 0.5 * (gradient**2).flatten(1).sum(1).mean(),
        "sem": F.cross_entropy(classes, b.cluster),
    }


def generator_losses(m: CatsUDT, b: Batch, s: Tensor, s2: Tensor) -> dict[str, Tensor]:
    """Generator losses: everything with a graph but the second image; the style term in the *source's* head."""
    fake = m.generator(b.x_source, s)
    back = m.generator(fake, m.style_encoder(b.x_source, b.cluster, b.d_source))
    logits, classes = m.discriminator(fake, b.d_target)
    return {
        "adv": F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)),
        "sem": F.cross_entropy(classes, b.cluster),
        "sty": (m.style_encoder(fake, b.cluster, b.d_source) - s).abs().mean(),
        "cyc": (back - b.x_source).abs().mean(),
        "ds": -b.lambda_ds * (fake - m.generator(b.x_source, s2).detach()).abs().mean(),
    }


def gradients(losses: dict[str, Tensor], networks: list[nn.Module]) -> list[Tensor]:
    total = torch.stack(list(losses.values())).sum()
    return list(torch.autograd.grad(total, [p for n in networks for p in n.parameters()]))


def test_four_phases_hold_the_terms_of_the_objective_and_their_gradients() -> None:
    """float64: losses within 1e-12, gradients within 1e-9."""
    m, b = method(), batch()
    latent = [m.mapping_network(z, b.cluster, b.d_target) for z in (b.z, b.z2)]
    reference = [m.style_encoder(x, b.cluster, b.d_target) for x in (b.x_ref, b.x_ref2)]
    expected = [
        (("discriminator",), discriminator_losses(m, b, latent[0])),
        (("discriminator",), discriminator_losses(m, b, reference[0])),
        (("generator", "mapping_network", "style_encoder"), generator_losses(m, b, *latent)),
        (("generator",), generator_losses(m, b, *reference)),
    ]
    phases = list(m.training_step(b))
    assert len(phases) == 4
    for phase, (trains, losses) in zip(phases, expected, strict=True):
        assert phase.trains == trains
        assert phase.losses.keys() == losses.keys()
        for name, value in losses.items():
            torch.testing.assert_close(phase.losses[name], value, rtol=0, atol=1e-12)
        networks = [getattr(m, name) for name in trains]
        for ours, original in zip(gradients(dict(phase.losses), networks), gradients(losses, networks), strict=True):
            torch.testing.assert_close(ours, original, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("setting", "term", "phases"),
    [
        ("lambda_reg", "r1", (0, 1)), ("lambda_sem", "sem", (0, 1, 2, 3)), ("lambda_sty", "sty", (2, 3)),
        ("lambda_cyc", "cyc", (2, 3)),
    ],
)  # fmt: skip
def test_weights_multiply_their_terms_and_zero_removes_them(setting: str, term: str, phases: tuple[int, ...]) -> None:
    """lambda_sem scales the terms of D and of G together."""
    plain, weighted, without = (list(method(**{setting: value}).training_step(batch())) for value in (1.0, 3.0, 0.0))
    for index in phases:
        assert weighted[index].losses[term].item() == pytest.approx(3 * plain[index].losses[term].item(), rel=1e-12)
        assert without[index].losses.get(term, torch.zeros(())).item() == 0
        others = plain[index].losses.keys() - {term}
        assert all(torch.equal(plain[index].losses[name], without[index].losses[name]) for name in others)


def test_diversity_weight_falls_linearly_or_stays() -> None:
    stores = domains(SIZE)
    for anneal, expected in ((True, [2.0, 1.0, 0.5]), (False, [2.0, 2.0, 2.0])):
        m = prepared(anneal_ds=anneal)
        drawn = [m.draw(stores, torch.Generator().manual_seed(0), Progress(step, 4)).lambda_ds for step in (0, 2, 3)]
        assert [value.item() for value in drawn] == pytest.approx(expected)
    assert "ds" not in list(method(lambda_ds=0.0).training_step(batch()))[2].losses


def test_style_reconstruction_in_the_head_of_the_target_is_an_option() -> None:
    b = batch()
    m = method(style_rec_domain="target")
    s = m.mapping_network(b.z, b.cluster, b.d_target)
    expected = (m.style_encoder(m.generator(b.x_source, s), b.cluster, b.d_target) - s).abs().mean()
    ours = list(m.training_step(b))[2].losses["sty"]
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    official = list(method().training_step(b))[2].losses["sty"]
    assert (ours - official).abs() > 1e-3


def test_r1_on_a_part_of_the_batch_changes_only_r1() -> None:
    whole, half = (next(method(r1_share=share).training_step(batch())).losses for share in (1.0, 0.5))
    for name in ("real", "fake", "sem"):
        torch.testing.assert_close(whole[name], half[name], rtol=0, atol=1e-12)
    b = batch()
    first = replace(b, **{name: getattr(b, name)[:2] for name in vars(b) if name != "lambda_ds"})
    expected = next(method().training_step(first)).losses["r1"]
    torch.testing.assert_close(half["r1"], expected, rtol=0, atol=1e-12)


def test_the_frozen_h_is_an_option_and_is_not_trained() -> None:
    """Eq. 8: cross-entropy of h on the translation; D has no classifier; the gradient passes through h."""
    b, m = batch(), method(semantic_loss="frozen_h")
    s = m.mapping_network(b.z, b.cluster, b.d_target)
    fake = m.generator(b.x_source, s)
    expected = F.cross_entropy(m.semantics((fake + 1) / 2), b.cluster)
    phases = list(m.training_step(b))
    torch.testing.assert_close(phases[2].losses["sem"], expected, rtol=0, atol=1e-12)
    assert "sem" not in phases[0].losses
    assert not any("classifier" in name for name in m.discriminator.state_dict())
    assert not any(p.requires_grad for p in m.semantics.parameters())
    through = torch.autograd.grad(phases[2].losses["sem"], list(m.generator.parameters()))
    assert any(g.abs().max() > 0 for g in through)


def test_content_conditioning_multiplies_the_content() -> None:
    """By linear(one-hot), also in the cycle; the style ignores the cluster."""
    b, m = batch(), method(conditioning="content")
    gate = (F.one_hot(b.cluster, K).double() @ m.generator.y_embed.weight.T + m.generator.y_embed.bias).reshape(
        4, -1, 8, 8
    )
    s = m.mapping_network(b.z, b.cluster, b.d_target)
    fake = m.generator.render(m.generator.content(b.x_source) * gate, s)
    s_source = m.style_encoder(b.x_source, b.cluster, b.d_source)
    back = m.generator.render(m.generator.content(fake) * gate, s_source)
    torch.testing.assert_close(
        list(m.training_step(b))[2].losses["cyc"], (back - b.x_source).abs().mean(), rtol=0, atol=1e-12
    )
    other = (b.cluster + 1) % K
    assert torch.equal(m.mapping_network(b.z, other, b.d_target), s)
    assert torch.equal(m.style_encoder(b.x_source, other, b.d_source), s_source)


def test_none_conditioning_keeps_the_semantic_loss_alone() -> None:
    b = batch()
    other = replace(b, cluster=(b.cluster + 1) % K)
    one, two = (list(method(conditioning="none").training_step(each))[2].losses for each in (b, other))
    assert all(torch.equal(one[name], two[name]) == (name != "sem") for name in one)


def test_style_conditioning_reaches_the_translation() -> None:
    b = batch()
    other = replace(b, cluster=(b.cluster + 1) % K)
    one, two = (list(method().training_step(each))[2].losses for each in (b, other))
    assert not any(torch.equal(one[name], two[name]) for name in one)


def test_reference_pass_steps_the_generator_alone() -> None:
    m = method()
    phases = list(m.training_step(batch()))
    assert phases[3].trains == ("generator",)
    total = torch.stack(list(phases[3].losses.values())).sum()
    through_styles = torch.autograd.grad(total, list(m.mapping_network.parameters()), allow_unused=True)
    assert all(g is None for g in through_styles)


# ------------------------------------------------------------------------------------------------ draws by cluster


def prepared(**settings: Any) -> CatsUDT:
    """Clusters 0, 1, 2, 0, ... in either domain's 12 images."""
    m = method(**settings)
    m.tables = CategoryTables([torch.arange(12) % K, torch.arange(12) % K])
    return m


def test_exemplars_are_of_the_source_s_cluster_and_the_target_domain() -> None:
    """Images of `domains` are determined, so a drawn image tells its row."""
    stores, m = domains(SIZE), prepared(batch_size=64)
    drawn = m.draw(stores, torch.Generator().manual_seed(0), Progress(0, 4))
    every = stores.gather(torch.arange(2).repeat_interleave(12), torch.arange(12).repeat(2)).flatten(1)

    def place(images: Tensor) -> tuple[Tensor, Tensor]:
        index = torch.cdist(images.flatten(1).double(), every.double()).argmin(1)
        return index // 12, index % 12

    source, ref, ref2 = place(drawn.x_source), place(drawn.x_ref), place(drawn.x_ref2)
    assert torch.equal(source[0], drawn.d_source)
    assert torch.equal(source[1] % K, drawn.cluster)
    for found in (ref, ref2):
        assert torch.equal(found[0], drawn.d_target)
        assert torch.equal(found[1] % K, drawn.cluster)
    assert not torch.equal(ref[1], ref2[1])


def test_pairs_of_domains_are_as_frequent_as_officially() -> None:
    """Sources uniform over the union, targets uniform over the cluster's union; sizes 6,000 and 2,000, one cluster
    of which is missing in domain 1. 40,000 draws: standard errors below 0.0025.
    """
    clusters = [torch.arange(6000) % 2, torch.zeros(2000, dtype=torch.int64)]
    tables = CategoryTables(clusters)
    source, target = tables.draw(40_000, torch.Generator().manual_seed(0))
    assert source.domain.double().mean().item() == pytest.approx(0.25, abs=0.01)
    in_both = source.cluster == 0
    assert target.domain[in_both].double().mean().item() == pytest.approx(2000 / 5000, abs=0.01)
    assert not target.domain[~in_both].any()
    for domain, row, row2 in zip(target.domain, target.row, target.row2, strict=True):
        assert row < len(clusters[domain])
        assert row2 < len(clusters[domain])
    assert torch.equal(source.cluster, torch.where(source.domain == 0, source.row % 2, 0))


def test_opposite_pairing_always_crosses_and_survives_an_empty_cluster() -> None:
    clusters = [torch.arange(600) % 2, torch.zeros(200, dtype=torch.int64)]
    source, target = CategoryTables(clusters).draw(4000, torch.Generator().manual_seed(0), opposite=True)
    assert torch.equal(target.domain, 1 - source.domain)
    assert source.domain.double().mean().item() == pytest.approx(0.5, abs=0.03)
    to_first = target.domain == 0
    assert torch.equal(target.row[to_first] % 2, source.cluster[to_first])
    homeless = (source.cluster == 1) & (source.domain == 0)
    assert homeless.any()
    assert int(target.row[homeless].max()) < 200
    assert len(target.row[homeless].unique()) > 150


def test_every_image_of_a_cluster_is_drawn_equally_often() -> None:
    """Chi-square of 30,000 exemplars over 100 images of one cluster and domain; 5 standard deviations."""
    tables = CategoryTables([torch.arange(300) % 3, torch.arange(300) % 3])
    _, target = tables.draw(180_000, torch.Generator().manual_seed(1))
    chosen = target.row2[(target.domain == 1) & (target.row2 % 3 == 1)]
    counts = torch.bincount(chosen // 3, minlength=100).double()
    chi = ((counts - counts.mean()).square() / counts.mean()).sum().item()
    assert 99 - 5 * 14.1 < chi < 99 + 5 * 14.1


def test_tables_of_100_000_images_are_small_and_fast() -> None:
    """Under 10 MB, and under a millisecond a step."""
    clusters = [torch.randint(10, (n,), generator=torch.Generator().manual_seed(n)) for n in (60_000, 40_000)]
    tables = CategoryTables(clusters)
    assert tables.nbytes < 10e6
    rng = torch.Generator().manual_seed(0)
    tables.draw(8, rng)
    seconds = []
    for _ in range(50):
        start = time.perf_counter()
        tables.draw(8, rng)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1e-3


def test_drawing_before_prepare_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="call prepare first"):
        method().draw(domains(SIZE), torch.Generator(), Progress(0, 1))


# --------------------------------------------------------------------------------------------------- inference


def test_translation_uses_averaged_networks_and_the_source_s_category() -> None:
    m, x, z = method().eval(), numbers(1, 3, 3, SIZE, SIZE), numbers(4, 3, 6)
    c = m.semantics((x + 1) / 2).argmax(1)
    domain = torch.ones(3, dtype=torch.int64)
    s = m.ema["mapping_network"](z, c, domain)
    torch.testing.assert_close(m.translate(x, 0, 1, Noise(z)), m.ema["generator"](x, s).clamp(-1, 1))
    exemplar = numbers(2, 3, 3, SIZE, SIZE)
    s = m.ema["style_encoder"](exemplar, c, domain)
    expected = m.ema["generator"](x, s).clamp(-1, 1)
    torch.testing.assert_close(m.translate(x, 0, 1, Exemplar(exemplar)), expected)
    torch.testing.assert_close(m.translate(x, 0, 1, Code(s)), expected)


def test_h_stays_in_eval_mode_and_out_of_the_optimisers() -> None:
    m = method()
    m.train()
    assert not any(module.training for module in m.semantics.modules())
    stepped = {id(p) for o in m.optimizers.values() for g in o.param_groups for p in g["params"]}
    assert not stepped & {id(p) for p in m.semantics.parameters()}
    assert set(m.parameter_counts()) == set(NETWORKS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"conditioning": "contents"}, "conditioning one of style, none, content"),
        ({"conditioning": "style_features"}, "conditioning without features"),
        ({"semantic_loss": "features"}, "semantic_loss classifier or frozen_h"),
        ({"categories": "features"}, "conditioning of features"),
        ({"pairing": "random"}, "pairing one of union, opposite"),
        ({"r1_share": 0.0}, "r1_share in"),
        ({"batch_size": 3}, "even batch_size"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **settings)


def test_the_number_of_clusters_is_needed() -> None:
    with pytest.raises(ValueError, match="clusters >= 2"):
        CatsUDT(replace(SMALL, clusters=0), SIZE)


def test_prepare_gives_every_training_image_its_cluster() -> None:
    """With a runner that hands back untrained stages: the tables are h's answers on the clean images."""
    stores, m = domains(SIZE), CatsUDT(SMALL, SIZE)

    def untrained(build: Any, attempt: int = 0) -> Any:
        torch.manual_seed(0)
        return build().eval()

    def no_weights(name: str) -> Any:
        raise LookupError(name)

    m.prepare(stores, Context(no_weights, untrained))
    assert m.tables is not None
    expected = torch.cat([m.semantics(images.float() / 255).argmax(1) for images in stores.images])
    assert torch.equal(m.tables.cluster.long(), expected)


@pytest.mark.parametrize(("in_first", "said"), [(91, True), (90, False)])
def test_one_cluster_with_nearly_everything_is_remarked_upon(in_first: int, said: bool) -> None:
    """More than 90 % of a domain; and only of that domain."""
    even, uneven = torch.arange(100) % 5, (torch.arange(100) >= in_first).long()
    remarks = CategoryTables([even, uneven]).remarks()
    expected = ("categories collapsed: 91% of the training images of {1} are in one cluster",)
    assert remarks == (expected if said else ())


# -------------------------------------------------------------------------------------------------- as variants


@pytest.mark.parametrize("data_kind", ["embedded", "real"])
@pytest.mark.parametrize("kind", ["digits", "pictures"])
@pytest.mark.parametrize("preset", ["quick", "small", "paper"])
@pytest.mark.parametrize("name", ["cats_udt", *(name for name in VARIANTS if name.startswith("cats_udt:"))])
def test_every_variant_can_be_built_from_every_preset(name: str, preset: str, kind: str, data_kind: str) -> None:
    """And differs from the method itself in what it is named for."""
    known, size = registered(), {task.kind: task.sizes[preset] for task in TASKS.values()}

    def config(item: str) -> CatsUDTConfig:
        base = PRESETS[preset][kind]
        return spec_config(CatsUDT, item, *method_settings(CatsUDT, item, base, {}, data_kind), {"clusters": 5})

    with torch.device("meta"):
        built = CatsUDT(config(name), size[kind])
    assert built.parameter_counts()["generator"] > 0
    photographs = preset != "paper" and (kind, data_kind) == ("pictures", "real") and name != "cats_udt:moco"
    weak = photographs or name in ("cats_udt:vgg", "cats_udt:content_vgg")
    assert built.supervision == ("weak" if weak else "none")
    plain, own = (flat_spec_values(config(item)) for item in ("cats_udt", name))
    assert {key for key in own if own[key] != plain[key]} <= set(known[name].settings)
    assert (name == "cats_udt") == (own == plain)


def test_the_paper_preset_has_the_published_semantics() -> None:
    """Presets name the values (they load no torch); they must be those of the module that has the algorithm."""

    def semantics(kind: str) -> SemanticsConfig:
        base = PRESETS["paper"][kind]
        return spec_config(CatsUDT, "cats_udt", *method_settings(CatsUDT, "cats_udt", base, {}, "real")).semantics

    assert semantics("pictures").adaptation == FEATURE_SPACE
    assert (semantics("pictures").encoder, semantics("pictures").transfer_encoder) == ("moco_v2", "")
    assert semantics("digits") == SemanticsConfig()


def test_the_number_of_clusters_is_that_of_the_task_s_classes() -> None:
    assert method_config_with_clusters(CatsUDTConfig(), 2).clusters == 2
    assert method_config_with_clusters(CatsUDTConfig(clusters=7), 2).clusters == 7
