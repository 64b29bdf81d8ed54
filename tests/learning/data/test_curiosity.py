"""The intrinsic curiosity module: its formulas, what it is blind to, its state."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.data import Batch, Curiosity, RowLayout
from offline_trader.learning.settings import CuriosityConfig

LAYOUT = RowLayout(3, 1)
ON = CuriosityConfig(weight=0.1)


def batch_of(rows: int = 64, seed: int = 0, tv: bool = False) -> Batch:
    """Steps of a position that follows the action, with a bounded position; column 1 is the time
    of the episode, column 2 noise that nothing controls, in every second row with ``tv``."""
    rng = np.random.default_rng(seed)
    before, action = rng.uniform(-1, 1, (rows, 1)), rng.uniform(-1, 1, (rows, 1))
    after = np.clip(before + 0.5 * action, -1, 1)
    on = (np.arange(rows)[:, None] % 2 == 0) & tv
    noise = np.where(on, rng.standard_normal((rows, 2)), 0.0)
    clock = np.full((rows, 1), 0.5)
    columns = {
        "observations": np.hstack([before, clock, noise[:, :1]]),
        "next_observations": np.hstack([after, clock, noise[:, 1:]]),
        "actions": action,
        "rewards": rng.standard_normal((rows, 1)),
    }
    matrix = torch.zeros(rows, LAYOUT.width)
    for name, values in columns.items():
        matrix[:, LAYOUT.slices()[name]] = torch.from_numpy(values.astype(np.float32))
    return Batch(matrix, LAYOUT)


def curiosity(columns: tuple[int, ...] = (), seed: int = 0, **settings: Any) -> Curiosity:
    return Curiosity(CuriosityConfig(**{"weight": 0.1, **settings}), 3, 1, columns, seed)


def test_rewards_are_mixed_as_the_formula_says() -> None:
    """½‖φ̂ − φ'‖² by numpy from the models' weights, over its deviation, times η, mixed by w."""
    ours = curiosity(columns=(0, 2), eta=0.5, half_life=0, train_interval=10**9)
    ours.sampled(batch_of())  # what is trained once is left alone from now on
    batch = batch_of(seed=5)
    rewards = batch["rewards"].clone().numpy()[:, 0]
    weights = {name: value.numpy() for name, value in ours.models.state_dict().items()}

    def network(name: str, inputs: Any) -> Any:
        hidden = np.maximum(inputs @ weights[f"{name}.0.weight"].T + weights[f"{name}.0.bias"], 0)
        return hidden @ weights[f"{name}.2.weight"].T + weights[f"{name}.2.bias"]

    errors = []
    for each in (batch_of(), batch):
        seen, after = (each[n].numpy()[:, [0, 2]] for n in ("observations", "next_observations"))
        state = np.hstack([network("encoder", seen), each["actions"].numpy()])
        told = network("dynamics", state)
        errors.append(0.5 * ((told - network("encoder", after)) ** 2).sum(axis=1))
    expected = 0.5 * errors[1] / np.concatenate(errors).std()
    ours.sampled(batch)
    np.testing.assert_allclose(
        batch["rewards"].numpy()[:, 0], 0.9 * rewards + 0.1 * expected, rtol=2e-3, atol=1e-5
    )
    assert errors[1].min() > 0.0
    assert expected.min() >= 0.0


def test_gradients_reach_every_parameter_and_the_encoder_by_the_inverse_model_alone() -> None:
    ours = curiosity()
    inverse, forward = ours.losses(batch_of())
    forward.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    reached = {n for n, p in ours.models.named_parameters() if p.grad is not None}
    assert reached == {n for n, _ in ours.models.named_parameters() if n.startswith("dynamics")}
    inverse.backward()  # type: ignore[no-untyped-call]
    for name, parameter in ours.models.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0.0, name


def test_the_gradient_is_autograd_s_and_a_step_is_adam_s() -> None:
    for actions in (1, 3):
        ours = Curiosity(ON, 3, actions, (0, 2), seed=1)
        layout = RowLayout(3, actions)
        batch = Batch(torch.randn(40, layout.width), layout)
        optimizer = torch.optim.Adam(ours.models.parameters(), lr=ON.learning_rate)
        inverse, forward = ours.losses(batch)
        ((1 - ON.beta) * inverse + ON.beta * forward).backward()  # type: ignore[no-untyped-call]
        found = ours.gradient(batch)
        for name, parameter in ours.models.named_parameters():
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6)
        before = {name: p.detach().clone() for name, p in ours.models.named_parameters()}
        optimizer.step()
        stepped = {name: p.detach().clone() for name, p in ours.models.named_parameters()}
        with torch.no_grad():
            for name, parameter in ours.models.named_parameters():
                parameter.copy_(before[name])
        ours.sampled(batch)
        for name, parameter in ours.models.named_parameters():
            torch.testing.assert_close(parameter, stepped[name], rtol=1e-4, atol=1e-6)
            assert not torch.equal(parameter, before[name])


def test_what_is_compiled_is_what_torch_computes_on_a_device() -> None:
    compiled, torchs = curiosity(train_interval=1), curiosity(train_interval=1)
    torchs._networks._compiled = False
    for step in range(12):
        first, second = batch_of(seed=step, rows=37), batch_of(seed=step, rows=37)
        compiled.sampled(first)
        torchs.sampled(second)
        torch.testing.assert_close(first.matrix, second.matrix, rtol=1e-3, atol=1e-5)
    assert compiled.metrics() == pytest.approx(torchs.metrics(), rel=1e-3)
    for one, other in zip(compiled.models.parameters(), torchs.models.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_the_forward_loss_falls_and_rewards_differ() -> None:
    ours = curiosity(train_interval=1, eta=1.0)
    early, late, spread = list[float](), list[float](), list[float]()
    for step in range(1_000):
        batch = batch_of(seed=step)
        ours.sampled(batch)
        found = ours.metrics()
        (early if step < 100 else late).append(found["forward_loss"])
        if step % 250 == 249:
            rewards = ours.intrinsic(batch_of(rows=512, seed=step)).numpy()
            spread.append(float(rewards.std() / rewards.mean()))
    assert np.mean(late[-100:]) < 0.5 * np.mean(early)
    assert min(spread) > 0.3


def test_eta_is_not_cancelled_by_the_normalisation() -> None:
    small, large = (curiosity(eta=eta).intrinsic(batch_of()) for eta in (0.01, 1.0))
    torch.testing.assert_close(large, 100.0 * small)


def test_a_batch_of_one_has_a_reward() -> None:
    ours = curiosity()
    for step in range(20):
        batch = batch_of(rows=1, seed=step)
        ours.sampled(batch)
        assert torch.isfinite(batch["rewards"]).all()


def test_the_share_halves() -> None:
    ours = curiosity(half_life=4)
    shares = []
    for step in range(9):
        shares.append(ours.share)
        ours.sampled(batch_of(rows=4, seed=step))
    np.testing.assert_allclose(shares[::4], [0.1, 0.05, 0.025])


@pytest.mark.slow
def test_a_noisy_screen_is_not_interesting() -> None:
    """Noise that no action controls is most of what a model of the whole observation cannot
    predict; who sees the columns that actions move is not drawn to it."""
    batch = batch_of(rows=2_048, seed=10**6, tv=True)
    before, after = (batch[n].numpy() for n in ("observations", "next_observations"))
    known = np.hstack([before, batch["actions"].numpy(), np.ones((len(before), 1))])
    raw = ((after - known @ np.linalg.lstsq(known, after, rcond=None)[0]) ** 2).sum(axis=1)
    assert raw[::2].mean() / raw[1::2].mean() > 30.0
    ours = curiosity(columns=(0,), train_interval=1)
    for step in range(300):
        ours.sampled(batch_of(seed=step, tv=True))
    rewards = ours.intrinsic(batch).numpy()
    assert rewards[::2].mean() / rewards[1::2].mean() == pytest.approx(1.0, abs=0.3)


def test_it_goes_on_from_its_state_to_the_same_bytes() -> None:
    whole, resumed = curiosity(), curiosity(seed=9)

    def saved(each: Curiosity) -> bytes:
        buffer = io.BytesIO()
        torch.save(each.state_dict(), buffer)
        return buffer.getvalue()

    for step in range(6):
        whole.sampled(batch_of(seed=step))
    buffer = io.BytesIO(saved(whole))
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    for step in range(6, 15):
        first, second = batch_of(seed=step), batch_of(seed=step)
        whole.sampled(first)
        resumed.sampled(second)
        assert torch.equal(first.matrix, second.matrix)
    assert whole.metrics() == resumed.metrics() != {}
    one, other = whole.state_dict(), resumed.state_dict()
    assert one["spread"] == other["spread"]
    for name in ("weights", "moments"):
        assert torch.equal(one["models"][name], other["models"][name])


@pytest.mark.parametrize(
    "wrong", [{"weight": 1.0}, {"weight": -0.1}, {"beta": 0.0}, {"hidden": 0}, {"eta": -1.0}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CuriosityConfig(**wrong)


def test_the_usual_settings_are_the_papers() -> None:
    assert (ON.beta, ON.eta, ON.weight) == (0.2, 0.01, 0.1)
    assert CuriosityConfig().weight == 0.0
