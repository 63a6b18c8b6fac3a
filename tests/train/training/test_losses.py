import dataclasses
import math

import pytest
import torch
from torch.nn import functional

from edgevl_train.data.run_data import RunData
from edgevl_train.sections import Stage1Section
from edgevl_train.training.losses import DISTANCES, label_divergence, multi_positive_infonce
from edgevl_train.training.objective import make_objective
from edgevl_train.training.triplets import Triplets, mine_semi_hard, pairwise_distance, triplet_loss

pytestmark = pytest.mark.unit


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_distances_against_their_formulas() -> None:
    s, t = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[0.0, 1.0], [0.6, 0.8]])
    assert DISTANCES["l1"](s, t).item() == pytest.approx(2 / 4)
    assert DISTANCES["cosine"](s, t).item() == pytest.approx((1 + 0) / 2)
    assert DISTANCES["mse"](s, t).item() == pytest.approx(2 / 4)
    for distance in DISTANCES.values():
        assert distance(t, t).item() == pytest.approx(0, abs=1e-7)


def test_infonce_with_distinct_captions_is_clips_loss() -> None:
    image, text = unit(6, 8), unit(6, 8, seed=1)
    logits = 10 * image @ text.T
    target = torch.arange(6)
    clip = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
    assert multi_positive_infonce(image, text, target, torch.tensor(10.0)).item() == pytest.approx(
        clip.item(), rel=1e-6
    )


def test_infonce_images_of_one_caption_do_not_repel_each_other() -> None:
    text = torch.eye(4)[:2]
    image, caption = text[[0, 0, 0, 1]], torch.tensor([0, 0, 0, 1])
    loss = multi_positive_infonce(image, text, caption, torch.tensor(50.0)).item()
    # What is left is the entropy of three equal positives, of which each gets a third: log 3, for one caption
    # of two.
    assert loss == pytest.approx(math.log(3) / 2 / 2, abs=1e-3)


def test_infonce_ignores_captions_that_no_image_has() -> None:
    image, text = unit(3, 8), unit(5, 8, seed=1)
    assert multi_positive_infonce(image, text, torch.tensor([0, 2, 2]), torch.tensor(5.0)).isfinite()


def test_pairwise_distance_is_euclidean_with_a_finite_gradient() -> None:
    x = unit(5, 7).requires_grad_()
    d = pairwise_distance(x)
    off = ~torch.eye(5, dtype=torch.bool)
    assert torch.allclose(d[off], torch.cdist(x, x)[off], atol=1e-5)
    d.sum().backward()
    assert x.grad.isfinite().all()


def on_circle(*degrees: float) -> torch.Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    return pairwise_distance(torch.stack([angle.cos(), angle.sin()], 1))


def test_semi_hard_negatives_lie_between_positive_and_margin() -> None:
    # Distances from row 0: positive at 10 degrees 0.17, at 30 degrees 0.52; negatives 5: 0.09 (too hard),
    # 20: 0.35, 25: 0.43 (semi-hard), 90: 1.41 (too easy).
    distance = on_circle(0, 10, 30, -5, -20, -25, -90)
    label = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    triplets = mine_semi_hard(distance, label, margin=0.3, negatives=3)
    mine = triplets.anchor == 0
    assert triplets.positive[mine].unique().tolist() == [1]
    assert sorted(triplets.negative[mine].tolist()) == [4, 5]


def test_no_more_negatives_than_asked_nearest_first() -> None:
    distance = on_circle(0, 1, -10, -11, -12, -13)
    triplets = mine_semi_hard(distance, torch.tensor([0, 0, 1, 1, 1, 1]), margin=0.3, negatives=2)
    assert triplets.negative[triplets.anchor == 0].tolist() == [2, 3]


def test_groups_keep_modalities_apart() -> None:
    distance = on_circle(0, 1, -10, 3, -8, -9)
    label, group = torch.tensor([0, 0, 1, 0, 1, 1]), torch.tensor([0, 1, 0, 0, 1, 0])
    triplets = mine_semi_hard(distance, label, 0.3, 3, group)
    assert (group[triplets.anchor] == group[triplets.positive]).all()
    assert (group[triplets.anchor] == group[triplets.negative]).all()
    crossing = mine_semi_hard(distance, label, 0.3, 3)
    assert (group[crossing.anchor] != group[crossing.positive]).any()


def test_anchor_without_positive_or_negative_gives_no_triplet() -> None:
    distance = on_circle(0, 1, 90)
    assert len(mine_semi_hard(distance, torch.tensor([0, 1, 2]), 0.3, 3).anchor) == 0
    empty = Triplets(*[torch.zeros(0, dtype=torch.int64)] * 3)
    assert triplet_loss(distance, empty, 0.3).item() == 0


def test_triplet_loss_against_its_formula() -> None:
    x = unit(12, 6)
    label = torch.arange(12) % 3
    distance = pairwise_distance(x)
    triplets = mine_semi_hard(distance, label, 0.5, 3)
    assert len(triplets.anchor) > 5
    expected = functional.triplet_margin_loss(
        x[triplets.anchor], x[triplets.positive], x[triplets.negative], margin=0.5, p=2
    )
    assert triplet_loss(distance, triplets, 0.5).item() == pytest.approx(expected.item(), abs=1e-4)


def test_label_divergence_is_kl_of_the_softmax_at_the_teachers_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher, bank = (functional.normalize(torch.randn(n, 8, generator=generator), dim=1) for n in (5, 5, 3))
    p, q = ((10.0 * x @ bank.T).softmax(1) for x in (teacher, student))
    assert label_divergence(student, teacher, bank, 10.0).item() == pytest.approx(
        (p * (p / q).log()).sum(1).mean().item(), rel=1e-4
    )
    assert label_divergence(teacher, teacher, bank, 10.0).item() == pytest.approx(0, abs=1e-6)


def test_the_objective_adds_what_is_weighted(run_data: RunData) -> None:
    target = torch.from_numpy(run_data.targets[0, :6].astype("float32"))
    embedding = functional.normalize(target.repeat(2, 1) + 0.3 * unit(12, target.shape[1], seed=2), dim=-1)
    words = dataclasses.replace(run_data, vocabulary=unit(40, target.shape[1], seed=3).numpy())
    plain = make_objective(words, Stage1Section(), "cosine", torch.device("cpu"))(embedding, target)
    assert set(plain) == {"loss", "loss_rgb", "loss_depth"}
    section = Stage1Section(distil_weight=0.5, label_weight=0.2, vocabulary_weight=0.1)
    found = make_objective(words, section, "cosine", torch.device("cpu"))(embedding, target)
    for name, bank in (("labels", words.bank), ("vocabulary", words.vocabulary)):
        wanted = label_divergence(embedding, target.repeat(2, 1), torch.from_numpy(bank), words.logit_scale)
        assert found[f"loss_{name}"].item() == pytest.approx(wanted.item())
    total = (
        0.5 * (found["loss_rgb"] + found["loss_depth"]) + 0.2 * found["loss_labels"] + 0.1 * found["loss_vocabulary"]
    )
    assert found["loss"].item() == pytest.approx(total.item())
    nothing = dataclasses.replace(words, vocabulary=words.bank[:0])
    with pytest.raises(ValueError, match="no words for loss_vocabulary"):
        make_objective(nothing, section, "cosine", torch.device("cpu"))
    with pytest.raises(ValueError, match="all 0"):
        Stage1Section(distil_weight=0)
