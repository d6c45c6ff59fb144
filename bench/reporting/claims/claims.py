"""The claims of the paper (Lavoie et al., ICLR 2021, arXiv 2010.01262), in our words and as formulas.

They are what its tables, figures and text say of methods in order: who is better than whom, not by how much. Where a
sentence needs a number that the paper does not give (how wide is "far", how close is "similar"), the number is ours and
in the sentence. Some are here although the paper's own numbers do not bear them out: `published_check.py` says which.
"""

from __future__ import annotations

from bench.reporting.claims.formula import (
    Claim,
    ClaimCandidate,
    ClaimMeasure,
    ClaimSubject,
    about_equal,
    better,
    chain,
    differ,
    reaches,
    u_shape,
    worst,
)
from bench.reporting.paper import shapes as paper_shapes
from bench.reporting.paper.shapes import STAGES

DIGITS = "mnist2svhn"
SKETCHES = "sketch2real"
FORWARD, BACK = (0, 1), (1, 0)
BOTH = (FORWARD, BACK)

WIDE = 20.0
"""Points of accuracy that are a wide margin; the paper's gap is 48."""
CLOSE = 5.0
"""Points of accuracy within which methods are about as good."""
SHORT_OF = 2.0
"""Points of accuracy by which a published one may be missed."""
SWEEP = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Values of lambda_sem. Those of Figs. 3c and 7b cannot be read off, but for 10."""

ACCURACY = ClaimMeasure("accuracy", (*paper_shapes.ACCURACY[0].protocols, "accuracy-probe-v1"), True)
FID = ClaimMeasure("fid", paper_shapes.FID[0].protocols, False)
FID_DIGITS = ClaimMeasure("fid", paper_shapes.FID_DIGITS[0].protocols, False)
MODES = ClaimMeasure("ndb", paper_shapes.NDB[0].protocols, False)
# Less diverse: more bins that differ, more divergence, less distance. Across sources, for CycleGAN has one style.
UNIFORM_NDB = ClaimMeasure("ndb", paper_shapes.NDB[0].protocols, True)
UNIFORM_JSD = ClaimMeasure("jsd", paper_shapes.JSD[0].protocols, True)
UNIFORM_LPIPS = ClaimMeasure("lpips", paper_shapes.LPIPS[0].protocols, False)
STYLES = ClaimMeasure("diversity", ("lpips-alexnet-v1", "diversity-judge-v1"), True)
CLUSTERED = ClaimMeasure("cluster_accuracy", (paper_shapes.ALIGNMENT,), True)
ADAPTED = ClaimMeasure("adapted_cluster_accuracy", (paper_shapes.ALIGNMENT,), True)


def _subject(*names: str) -> ClaimSubject:
    return ClaimSubject(tuple(map(ClaimCandidate, names)))


def _weighted(lambda_sem: float) -> ClaimSubject:
    """CatS-UDT with this weight of the semantic loss: 0 and 1 have names."""
    named = {0.0: "cats_udt:no_sem", 1.0: "cats_udt"}
    if lambda_sem in named:
        return _subject(named[lambda_sem])
    return ClaimSubject((ClaimCandidate("cats_udt", (("lambda_sem", lambda_sem),)),))


FULL = _subject("cats_udt")
CYCLEGAN, MUNIT, DRIT, EGSC_IT = map(_subject, ("cyclegan", "munit", "drit", "egsc_it"))
STARGAN = _subject(*paper_shapes.OURS["StarGAN-V2"])
OF_TABLE_1 = (CYCLEGAN, MUNIT, DRIT, STARGAN, EGSC_IT)
OF_TABLE_2 = (CYCLEGAN, DRIT, EGSC_IT, STARGAN)
NO_SEM, NO_STY, NO_CYC, NO_DS = (_subject(f"cats_udt:no_{name}") for name in ("sem", "sty", "cyc", "ds"))
NONE, CONTENT, CONTENT_VGG = (_subject(f"cats_udt:{name}") for name in ("none", "content", "content_vgg"))
NOT_ADAPTED, VGG = _subject("cats_udt:not_adapted"), _subject("cats_udt:vgg")
# The paper's MoCo was trained on ImageNet.
MOCO = ClaimSubject(
    (ClaimCandidate("cats_udt:moco", (("semantics.encoder", "moco_v2"),)), ClaimCandidate("cats_udt:moco"))
)
IMSAT, SPECTRAL, ADAPTATION = (_subject(STAGES[name]) for name in ("imsat", "spectral", "adaptation"))

LAMBDA_STY = "the authors' own command for sketches sets lambda_sty = 0: their main model may be the ablation"
SMALL_CLASSES = "15 test images of each class: much of such a FID is bias, alike for all at equal n"
DIVERSITY = "neither paper nor code has settings for LPIPS, NDB or JSD"
NO_MULTIPLE = (
    "said to be of the test set, of whose 75 images it is no multiple; ours is of training images, as in the code"
)
NO_CODE = "no code exists of Content(VGG): ours is a reading of the text"

OF_DIGITS = (
    Claim(
        "accuracy",
        "CatS-UDT keeps the digit more often than every baseline, in both directions",
        "Table 1", DIGITS, ACCURACY, better(FULL, OF_TABLE_1), BOTH, printed=("Table 1",),
    ),
    Claim(
        "accuracy-order",
        f"from {{0}} to {{1}}, CatS-UDT keeps the digit far more often than EGSC-IT (by {WIDE:g} points here), EGSC-IT "
        "more often than StarGAN-V2, and that more often than CycleGAN, MUNIT and DRIT",
        "Table 1", DIGITS, ACCURACY, chain([FULL], [EGSC_IT], [STARGAN], [CYCLEGAN, MUNIT, DRIT], first_by=WIDE),
        (FORWARD,), printed=("Table 1",),
    ),
    Claim(
        "fid",
        "CatS-UDT has the lowest FID, in both directions",
        "Table 1", DIGITS, FID_DIGITS, better(FULL, OF_TABLE_1), BOTH, printed=("Table 1",),
    ),
    Claim(
        "loss-accuracy",
        "of its losses, CatS-UDT keeps the digit least often without the semantic one",
        "Fig. 3a", DIGITS, ACCURACY, worst(NO_SEM, (FULL, NO_STY, NO_CYC, NO_DS)), BOTH,
    ),
    Claim(
        "loss-fid",
        "of its losses, CatS-UDT has the highest FID without the semantic one",
        "Fig. 7a", DIGITS, FID_DIGITS, worst(NO_SEM, (FULL, NO_STY, NO_CYC, NO_DS)), BOTH,
    ),
    Claim(
        "adapted-accuracy",
        "clusters that were adapted to the other domain keep the digit more often than those of one domain",
        "Figs. 3b and 8c", DIGITS, ACCURACY, better(FULL, [NOT_ADAPTED]), BOTH,
        remark="Fig. 8c: the caption says FID; the text says accuracy for S→M, and FID both ways",
    ),
    Claim(
        "adapted-fid",
        "clusters that were adapted to the other domain have a lower FID than those of one domain",
        "Fig. 8c", DIGITS, FID_DIGITS, better(FULL, [NOT_ADAPTED]), BOTH,
    ),
    Claim(
        "encoder",
        "from {0} to {1}, adapted clusters keep the digit more often than features of VGG or MoCo and than clusters "
        "that were not adapted",
        "Fig. 3b", DIGITS, ACCURACY, better(FULL, (VGG, MOCO, NOT_ADAPTED)), (FORWARD,),
        remark="the authors' code overwrites VGG and MoCo by random weights before training; ours keep theirs",
    ),
    Claim(
        "weight-fid",
        f"from {{0}} to {{1}}, FID falls and then rises with lambda_sem ({SWEEP[0]:g} to {SWEEP[-1]:g})",
        "Fig. 7b", DIGITS, FID_DIGITS, u_shape([*map(_weighted, SWEEP)]), (FORWARD,),
    ),
    Claim(
        "weight-accuracy",
        "from {1} to {0}, lambda_sem = 10 keeps the digit less often than 1",
        "Figs. 3c and 7c", DIGITS, ACCURACY, better(FULL, [_weighted(10.0)]), (BACK,),
        remark="that the translations are then mixtures of digits, the samples show",
    ),
    Claim(
        "conditioning-accuracy",
        "clusters that condition nothing, the content or the style keep the digit about as often (within "
        f"{CLOSE:g} points here)",
        "Fig. 8a", DIGITS, ACCURACY, about_equal((NONE, CONTENT, FULL), CLOSE), BOTH,
    ),
    Claim(
        "conditioning-fid",
        "clusters that condition nothing, the content or the style have different FIDs",
        "Fig. 8b", DIGITS, FID_DIGITS, differ((NONE, CONTENT, FULL)), BOTH,
        remark="nothing can refute that two methods differ: without a margin it is never said to fail",
    ),
    Claim(
        "clusters-mnist",
        f"IMSAT's clusters of MNIST align with 98.24 % (to {SHORT_OF:g} points here)",
        "Section 4.1", DIGITS, CLUSTERED, reaches(IMSAT, 98.24, SHORT_OF), ((0,),), printed=("Text 4.1",),
        of_published_value=True,
    ),
    Claim(
        "adapted-mnist",
        f"adapted clusters of MNIST align with 98.20 % (to {SHORT_OF:g} points here)",
        "Section 4.1", DIGITS, ADAPTED, reaches(ADAPTATION, 98.20, SHORT_OF), ((0,),), printed=("Text 4.1",),
        of_published_value=True,
    ),
    Claim(
        "adapted-svhn",
        f"adapted clusters of SVHN align with 88.0 % (to {SHORT_OF:g} points here)",
        "Section 4.1", DIGITS, ADAPTED, reaches(ADAPTATION, 88.0, SHORT_OF), ((1,),), printed=("Text 4.1",),
        of_published_value=True,
    ),
)  # fmt: skip

OF_SKETCHES = (
    Claim(
        "fid",
        "CatS-UDT has the lowest FID over all classes",
        "Table 2", SKETCHES, FID, better(FULL, OF_TABLE_2), (FORWARD,), printed=("Table 2",), remark=LAMBDA_STY,
    ),
    Claim(
        "fid-classes",
        "CatS-UDT has the lowest FID in each class",
        "Table 2", SKETCHES, FID, better(FULL, OF_TABLE_2), (FORWARD,), per_class=True, printed=("Table 2",),
        remark=SMALL_CLASSES,
    ),
    Claim(
        "loss-fid",
        "of its losses, CatS-UDT has the highest FID over all classes without the semantic one",
        "Table 3a", SKETCHES, FID, worst(NO_SEM, (FULL, NO_STY, NO_CYC, NO_DS)), (FORWARD,),
        printed=("Table 3a", "Table 2"),
    ),
    Claim(
        "loss-fid-classes",
        "of its losses, CatS-UDT has the highest FID in each class without the semantic one",
        "Table 3a", SKETCHES, FID, worst(NO_SEM, (FULL, NO_STY, NO_CYC, NO_DS)), (FORWARD,), per_class=True,
        printed=("Table 3a", "Table 2"), remark=SMALL_CLASSES,
    ),
    Claim(
        "each-loss",
        "each of its losses lowers CatS-UDT's FID over all classes",
        "Table 3a", SKETCHES, FID, better(FULL, (NO_SEM, NO_STY, NO_CYC, NO_DS)), (FORWARD,),
        printed=("Table 3a", "Table 2"), remark=LAMBDA_STY,
    ),
    Claim(
        "each-loss-classes",
        "each of its losses lowers CatS-UDT's FID in each class",
        "Table 3a", SKETCHES, FID, better(FULL, (NO_SEM, NO_STY, NO_CYC, NO_DS)), (FORWARD,), per_class=True,
        printed=("Table 3a", "Table 2"), remark=SMALL_CLASSES,
    ),
    Claim(
        "loss-accuracy",
        "without the semantic loss, translations are less often of the source's class",
        "Fig. 9", SKETCHES, ACCURACY, better(FULL, [NO_SEM]), (FORWARD,),
        remark="the paper shows samples, and no number",
    ),
    Claim(
        "conditioning",
        "clusters that condition the style have a lower FID over all classes than those that condition nothing or the "
        "content, and than features that condition the content",
        "Table 3b", SKETCHES, FID, better(FULL, (NONE, CONTENT, CONTENT_VGG)), (FORWARD,), printed=("Table 3b",),
        remark=NO_CODE,
    ),
    Claim(
        "conditioning-classes",
        "clusters that condition the style have the lowest FID of these four in each class",
        "Table 3b", SKETCHES, FID, better(FULL, (NONE, CONTENT, CONTENT_VGG)), (FORWARD,), per_class=True,
        printed=("Table 3b",), remark=SMALL_CLASSES,
    ),
    Claim(
        "collapse",
        "clusters that condition the content have the highest FID of these four over all classes: they collapse, and "
        "features that condition the content do not",
        "Table 3b, Fig. 10", SKETCHES, FID, worst(CONTENT, (NONE, CONTENT_VGG, FULL)), (FORWARD,),
        printed=("Table 3b",), remark=NO_CODE,
    ),
    Claim(
        "collapse-classes",
        "clusters that condition the content have the highest FID of these four in each class",
        "Table 3b", SKETCHES, FID, worst(CONTENT, (NONE, CONTENT_VGG, FULL)), (FORWARD,), per_class=True,
        printed=("Table 3b",), remark=SMALL_CLASSES,
    ),
    Claim(
        "one-style",
        "clusters that condition nothing leave less diverse styles of a source than those that condition the style",
        "Section 4.2", SKETCHES, STYLES, better(FULL, [NONE]), (FORWARD,),
        remark="the text says one style for each class; no number of the paper measures it",
    ),
    Claim(
        "modes",
        "CatS-UDT has the lowest NDB",
        "Table 4", SKETCHES, MODES, better(FULL, OF_TABLE_2), (FORWARD,), printed=("Table 4",), remark=DIVERSITY,
    ),
    Claim(
        "less-diverse-lpips",
        "CatS-UDT is less diverse than every baseline: lower LPIPS",
        "Section 4.2, Table 4", SKETCHES, UNIFORM_LPIPS, better(FULL, OF_TABLE_2), (FORWARD,), printed=("Table 4",),
        remark="the LPIPS of CatS-UDT and EGSC-IT is a tenth of the others': another computation, or a lost digit",
    ),
    Claim(
        "less-diverse-ndb",
        "CatS-UDT is less diverse than every baseline: higher NDB",
        "Section 4.2, Table 4", SKETCHES, UNIFORM_NDB, better(FULL, OF_TABLE_2), (FORWARD,), printed=("Table 4",),
        remark=DIVERSITY,
    ),
    Claim(
        "less-diverse-jsd",
        "CatS-UDT is less diverse than every baseline: higher JSD",
        "Section 4.2, Table 4", SKETCHES, UNIFORM_JSD, better(FULL, OF_TABLE_2), (FORWARD,), printed=("Table 4",),
        remark=DIVERSITY,
    ),
    Claim(
        "small-map",
        "a content map of 4x4 destroys the spatial structure, in CatS-UDT and in CycleGAN",
        "Fig. 11", SKETCHES, FID, None, (FORWARD,),
        remark="no protocol measures spatial structure: the samples show it",
    ),
    Claim(
        "clusters-reals",
        f"spectral clusters of reals align with 92.13 % (to {SHORT_OF:g} points here)",
        "Section 4.2", SKETCHES, CLUSTERED, reaches(SPECTRAL, 92.13, SHORT_OF), ((1,),), printed=("Text 4.2",),
        of_published_value=True, remark=NO_MULTIPLE,
    ),
    Claim(
        "adapted-reals",
        f"adapted clusters of reals align with 90.32 % (to {SHORT_OF:g} points here)",
        "Section 4.2", SKETCHES, ADAPTED, reaches(ADAPTATION, 90.32, SHORT_OF), ((1,),), printed=("Text 4.2",),
        of_published_value=True, remark=NO_MULTIPLE,
    ),
    Claim(
        "adapted-sketches",
        f"adapted clusters of sketches align with 75.47 % (to {SHORT_OF:g} points here)",
        "Section 4.2", SKETCHES, ADAPTED, reaches(ADAPTATION, 75.47, SHORT_OF), ((0,),), printed=("Text 4.2",),
        of_published_value=True, remark=NO_MULTIPLE,
    ),
)  # fmt: skip

CLAIMS = (*OF_DIGITS, *OF_SKETCHES)
