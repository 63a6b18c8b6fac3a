"""The loop on very small networks: against a loop written out by hand, resume, averages, early stop, divergence."""

import contextlib
import copy
import dataclasses
import json
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn

from edgevl_core.base.errors import UserError
from edgevl_train.data.prefetch import one_ahead
from edgevl_train.loggers import following
from edgevl_train.metrics_file import read_records
from edgevl_train.stage_sections import Stage1Section
from edgevl_train.training.context import OnProgress, RunContext
from edgevl_train.training.loop import Best, Stage, fit
from edgevl_train.training.schedule import learning_rate
from edgevl_train.training.signals import terminable
from tests.train.logged import almost, curves, in_tensorboard

pytestmark = pytest.mark.train
STEPS = 6
Scorer = Callable[[nn.Module], dict[str, float]]


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="32-true")


def context(directory: Path, on_progress: OnProgress = lambda *_: None) -> RunContext:
    return RunContext(fabric(), directory, "f", on_progress)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3))


def batch(epoch: int, number: int, size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(100 * epoch + number)
    x = torch.randn(size, 4, generator=generator)
    return x, x[:, :3] * 2 + 1


def batches(epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
    return (batch(epoch, number) for number in range(first, STEPS))


def loss(model: nn.Module, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    assert model.training
    error = (model(data[0]) - data[1]).square().mean()
    return {"loss": error, "loss_again": error}


def score(model: nn.Module) -> dict[str, float]:
    assert not model.training
    x, y = batch(99, 0, 64)
    return {"score": -float((model(x) - y).square().mean())}


def stage(validate: Scorer = score, **settings: float) -> Stage:
    section = Stage1Section.model_validate({"epochs": 3, "lr": 0.01, "warmup_steps": 2, "clip_norm": 0.5} | settings)
    return Stage("stage1", section, STEPS, batches, loss, validate)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def by_hand(model: nn.Module, section: Stage1Section) -> list[dict[str, Tensor]]:
    """What the loop should do, without dropout; the weights after each optimiser step."""
    history = []
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": section.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=section.lr)
    per_epoch = math.ceil(STEPS / section.accumulate)
    for epoch in range(section.epochs):
        model.train()
        for update in range(per_epoch):
            numbers = range(STEPS)[update * section.accumulate : (update + 1) * section.accumulate]
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(section, epoch * per_epoch + update, section.epochs * per_epoch)
            optimiser.zero_grad()
            for number in numbers:
                (loss(model, batch(epoch, number))["loss"] / len(numbers)).backward()
            nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], section.clip_norm)
            optimiser.step()
            history.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    return history


@pytest.mark.parametrize("accumulate", [1, 4])  # 4 of 6 leaves a smaller group at the end
def test_steps_are_adamws_with_fresh_gradients_and_in_train_mode(accumulate: int, tmp_path: Path) -> None:
    model = network()
    model[3].p = 0.0
    reference = copy.deepcopy(model)
    plan = stage(accumulate=accumulate)
    fit(model, plan, context(tmp_path))
    by_hand(reference, plan.section)
    assert same(model, reference)


def test_accumulated_batches_make_the_step_of_one_large_batch(tmp_path: Path) -> None:
    def large(epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(first, STEPS // 2):
            x, y = zip(batch(epoch, 2 * number), batch(epoch, 2 * number + 1), strict=True)
            yield torch.cat(x), torch.cat(y)

    torch.manual_seed(0)
    small = nn.Linear(4, 3)
    one = copy.deepcopy(small)
    plan = stage(accumulate=2)
    fit(small, plan, context(tmp_path / "a"))
    whole = Stage("stage1", stage().section, STEPS // 2, large, loss, score)
    fit(one, whole, context(tmp_path / "b"))
    assert torch.allclose(small.weight, one.weight, atol=1e-6)


@pytest.mark.parametrize("decay", [0.5, 0.999])  # of the 18 steps the first 8, and all, come before it is in force
def test_the_average_of_the_weights_is_judged_and_kept(decay: float, tmp_path: Path) -> None:
    """Also of a short training it holds next to nothing of the first step's weights."""
    model = network()
    model[3].p = 0.0
    reference = copy.deepcopy(model)
    judged = []

    def validate(model: nn.Module) -> dict[str, float]:
        judged.append(copy.deepcopy(model.state_dict()))
        return {"score": float(len(judged))}

    plan = stage(validate, ema_decay=decay)
    best = fit(model, plan, context(tmp_path))
    history = by_hand(reference, plan.section)
    assert same(model, reference)  # the average does not change what is trained
    average, of_first = history[0], 1.0
    for steps, state in enumerate(history[1:], 1):
        kept = min(decay, (1 + steps) / (10 + steps))
        average = {name: kept * average[name] + (1 - kept) * state[name] for name in ("0.weight", "1.running_var")}
        of_first *= kept
    assert of_first < 1e-5
    for name, expected in average.items():
        assert torch.allclose(judged[-1][name], expected, atol=1e-6)
    assert judged[-1]["1.num_batches_tracked"] == history[-1]["1.num_batches_tracked"]
    assert torch.equal(best.state["0.weight"], judged[-1]["0.weight"])
    assert set(best.state) == set(model.state_dict())


def test_a_share_of_the_first_weights_is_in_what_is_judged_and_kept(tmp_path: Path) -> None:
    model, plan = network(), dataclasses.replace(stage(), start_share=0.25)
    first, reference = copy.deepcopy(model.state_dict()), network()
    fit(reference, stage(), context(tmp_path / "plain"))

    def cut(done: int, *_: object) -> None:
        if done == STEPS + 2:  # a checkpoint is written after each step: it goes on in the second epoch
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(network(), plan, context(tmp_path / "kept", cut), checkpoint_every_s=0)
    best = fit(model, plan, context(tmp_path / "kept"))
    assert same(model, reference)  # what is trained is not changed by it
    assert best.epoch == 3
    for name in ("0.weight", "1.running_var", "4.bias"):
        expected = 0.25 * first[name] + 0.75 * model.state_dict()[name]
        assert torch.allclose(best.state[name], expected, atol=1e-6)


def test_the_time_that_is_left_knows_what_epochs_cost(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    plan = dataclasses.replace(stage(), cost=lambda epoch: 1.0 if epoch < 2 else 3.0)
    fit(network(), plan, context(tmp_path, lambda done, total, *_: told.append((done, total))))
    assert {total for _, total in told} == {30}
    assert [done for done, _ in told if done in (6, 12, 30)] == [6, 6, 12, 12, 30, 30]  # last step and end


def test_best_epoch_is_chosen_on_validation_and_patience_ends_the_stage(tmp_path: Path) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.9])
    plan = stage(lambda model: {"score": next(scores)}, epochs=5, patience=2)
    best = fit(network(), plan, context(tmp_path))
    assert (best.epoch, best.metrics["score"]) == (2, 0.5)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]  # the fifth, which would be better, never comes
    again = fit(network(), plan, context(tmp_path))
    assert again.epoch == 2
    assert next(scores) == 0.9  # a stage that has ended trains no further when it is resumed


class Stopped(Exception):
    """Cuts a run off without a chance to save."""


def cut_at(wanted: int, how: Callable[[], None]) -> Callable[[int, int, str], None]:
    def on_progress(done: int, total: int, message: str) -> None:
        if done == wanted:
            how()

    return on_progress


def crash() -> None:
    raise Stopped


def result(directory: Path, model: nn.Module, best: Best) -> tuple[object, ...]:
    return (
        [tensor.tolist() for tensor in model.state_dict().values()],
        [tensor.tolist() for tensor in best.state.values()],
        best.metrics,
        (directory / "metrics.jsonl").read_text(),
    )


def test_a_logger_that_fails_is_told_of_once_and_ends_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    run = tmp_path / "logged"
    run.mkdir()
    (run / "tensorboard").touch()  # where its directory should be
    with following(["tensorboard"], run, said.append) as on_record:
        fit(network(), stage(), dataclasses.replace(context(run), on_record=on_record))
    fit(network(), stage(), context(tmp_path / "alone"))
    assert (run / "metrics.jsonl").read_text() == (tmp_path / "alone/metrics.jsonl").read_text()
    (line,) = said
    assert "logger tensorboard failed" in line
    assert f"edgevl report {run} --to tensorboard --out DIR" in line


def test_a_logger_of_a_run_that_was_cut_off_has_each_epoch_once(tmp_path: Path) -> None:
    for on_progress in (cut_at(STEPS + 2, crash), lambda *_: None):
        with (
            contextlib.suppress(Stopped),
            following(["tensorboard"], tmp_path, pytest.fail) as on_record,
        ):
            fit(network(), stage(), dataclasses.replace(context(tmp_path, on_progress), on_record=on_record))
    shown = in_tensorboard(tmp_path / "tensorboard" / tmp_path.name)
    assert [epoch for epoch, _ in shown["stage1/loss"]] == [1, 2, 3]
    assert shown == almost(curves(read_records(tmp_path)))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("every_s", [0.0, 1e9])
def test_a_run_cut_off_at_any_step_ends_like_an_unbroken_one(every_s: float, accumulate: int, tmp_path: Path) -> None:
    plan = stage(ema_decay=0.5, accumulate=accumulate)
    model = network()
    unbroken = result(tmp_path / "u", model, fit(model, plan, context(tmp_path / "u"), seed=3))
    for at in range(accumulate, 3 * STEPS, accumulate):
        directory = tmp_path / str(at)
        with pytest.raises(Stopped):
            fit(network(), plan, context(directory, cut_at(at, crash)), seed=3, checkpoint_every_s=every_s)
        seen: list[int] = []
        model = network()
        best = fit(model, plan, context(directory, lambda done, *_: seen.append(done)), seed=3)  # noqa: B023
        assert result(directory, model, best) == unbroken, at
        if at % STEPS:
            assert seen[0] == (at if every_s == 0 else at - at % STEPS) + accumulate


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as in a terminal: a shell without job control starts programs in the background with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_at_the_next_step_with_everything_saved(number: signal.Signals, tmp_path: Path) -> None:
    plan = stage()
    model = network()
    unbroken = result(tmp_path / "u", model, fit(model, plan, context(tmp_path / "u")))
    told = cut_at(8, lambda: signal.raise_signal(number))
    with pytest.raises(SystemExit if number == signal.SIGTERM else KeyboardInterrupt), terminable():
        fit(network(), plan, context(tmp_path / "s", told))
    content = torch.load(tmp_path / "s/checkpoints/stage1.pt", weights_only=True)
    assert (content["epoch"], content["batch"]) == (1, 3)
    seen: list[int] = []
    model = network()
    best = fit(model, plan, context(tmp_path / "s", lambda done, *_: seen.append(done)))
    assert seen[0] == 10
    assert result(tmp_path / "s", model, best) == unbroken


def test_a_signal_during_validation_loses_no_batch(tmp_path: Path) -> None:
    def validate(model: nn.Module) -> dict[str, float]:
        signal.raise_signal(signal.SIGTERM)
        return score(model)

    with pytest.raises(SystemExit), terminable():
        fit(network(), stage(validate), context(tmp_path / "s"))
    model, other = network(), network()
    best = fit(model, stage(), context(tmp_path / "s"))
    unbroken = fit(other, stage(), context(tmp_path / "u"))
    assert result(tmp_path / "s", model, best) == result(tmp_path / "u", other, unbroken)


def test_a_rate_that_diverges_stops_the_stage_and_keeps_a_checkpoint_of_use(tmp_path: Path) -> None:
    fit(network(), stage(epochs=1), context(tmp_path))
    file = tmp_path / "checkpoints/stage1.pt"
    before = file.read_bytes()
    with pytest.raises(UserError, match=r"stage1: the loss is not finite at epoch 2, batch [23]: lower stage1\.lr"):
        fit(network(), stage(lr=1e30, epochs=2), context(tmp_path))
    assert file.read_bytes() == before
    # Saved after every step, the last one saved is still one that can be gone on with.
    with pytest.raises(UserError, match="not finite"):
        fit(network(), stage(lr=1e38, epochs=2), context(tmp_path), checkpoint_every_s=0)
    content = torch.load(file, weights_only=True)
    assert all(tensor.isfinite().all() for tensor in content["model"].values())


def test_a_checkpoint_that_was_cut_short_is_named(tmp_path: Path) -> None:
    fit(network(), stage(epochs=1), context(tmp_path))
    file = tmp_path / "checkpoints/stage1.pt"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"stage1\.pt is damaged .*: remove it, and go on with --resume"):
        fit(network(), stage(epochs=2), context(tmp_path))


def test_a_gradient_that_is_not_finite_changes_no_weight(tmp_path: Path) -> None:
    def rooted(model: nn.Module, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        return {"loss": (model(data[0]) * 0).sum().sqrt()}  # 0, with a gradient of 0 x inf

    model = network()
    before = copy.deepcopy(list(model.parameters()))
    plan = Stage("stage1", stage().section, STEPS, batches, rooted, score)
    with pytest.raises(UserError, match="the gradient is not finite at epoch 1, batch 1"):
        fit(model, plan, context(tmp_path))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


def test_a_step_that_float16_skips_is_no_divergence(tmp_path: Path) -> None:
    def half() -> Fabric:
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24)  # gradients overflow until it has come down
        return Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler))

    model = network()
    before, changed = copy.deepcopy(model), []
    noted = RunContext(
        half(), tmp_path, "f", lambda *_: changed.append(not torch.equal(model[0].weight, before[0].weight))
    )
    fit(model, stage(), noted)
    assert not changed[0]  # skipped
    assert changed[-1]
    scale = torch.load(tmp_path / "checkpoints/stage1.pt", weights_only=True)["precision"]["scale"]
    assert 2**-10 < scale < 2**24


def test_the_next_batch_is_made_while_one_is_used_and_errors_come_through() -> None:
    made = []

    def source() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            yield number
        raise UserError("the fourth")

    ahead = one_ahead(source())
    assert next(ahead) == 0
    ahead.close()
    assert made == [0, 1]  # one ahead, no further
    with pytest.raises(UserError, match="the fourth"):
        list(one_ahead(source()))
    assert list(one_ahead(iter(range(20)))) == list(range(20))


def chosen(tmp_path: Path, scores: list[float], trusted: list[bool]) -> int:
    """The epoch that is kept where each epoch's score is as told, and may choose or not."""
    told = iter([{"score": a, "good": float(b)} for a, b in zip(scores, trusted, strict=True)])
    plan = dataclasses.replace(
        stage(lambda model: next(told), epochs=len(scores)), may_choose=lambda metrics: bool(metrics["good"])
    )
    return fit(network(), plan, context(tmp_path)).epoch


@pytest.mark.parametrize(
    ("scores", "trusted", "epoch"),
    [
        ([0.3, 0.9, 0.5], [True] * 3, 2),
        ([0.3, 0.9, 0.5], [False] * 3, 3),  # at chance throughout: the last one, not the luckiest
        ([0.9, 0.3, 0.5, 0.4], [False, False, True, True], 3),  # the first that may choose counts more than luck before
        ([0.5, 0.9, 0.6], [True, False, True], 3),
    ],
)
def test_the_last_epoch_is_kept_until_one_may_choose(
    tmp_path: Path, scores: list[float], trusted: list[bool], epoch: int
) -> None:
    assert chosen(tmp_path, scores, trusted) == epoch
