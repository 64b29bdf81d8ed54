"""From the same weights, batches and random numbers, the fast updates are stock d3rlpy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from offline_trader.learning.d3rlpy.objectives import adopt
from offline_trader.learning.engines.fast import make_update, tower

Make = Callable[..., Any]
UPDATES = 100
TOLERANCE = 1e-4

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sac": ("SAC", {}),
    "sac, fixed temperature": ("SAC", {"temp_learning_rate": 0.0, "initial_temperature": 0.2}),
    "sac, three layers, layer norm, 3 actions": (
        "SAC",
        {"hidden": (32, 24, 16), "layer_norm": True, "action_size": 3},
    ),
    "sac, five critics, one layer": ("SAC", {"n_critics": 5, "hidden": (24,)}),
    "cql": ("CQL", {}),
    "cql, soft backup": ("CQL", {"soft_q_backup": True}),
    "cql, unequal layers": ("CQL", {"hidden": (24, 40)}),
    "cql, dense": ("CQL", {"hidden": (32, 24, 16), "action_size": 2, "n_action_samples": 4}),
    "cql, layer norm": ("CQL", {"layer_norm": True, "n_action_samples": 4}),
    "cal_ql": ("CalQL", {}),
    "cal_ql, dense": ("CalQL", {"hidden": (24,), "action_size": 2}),
    "iql": ("IQL", {}),
    "iql, layer norm, 2 actions": ("IQL", {"layer_norm": True, "action_size": 2}),
}


def flat(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def modules_of(algo: Any) -> dict[str, torch.nn.Module]:
    names = ("policy", "q_funcs", "targ_q_funcs", "value_func", "log_temp", "log_alpha")
    return {n: getattr(algo.impl.modules, n) for n in names if hasattr(algo.impl.modules, n)}


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative distance of two vectors; absolute where the expected one is about zero."""
    size = max(float(torch.linalg.vector_norm(expected)), 1e-2)
    return float(torch.linalg.vector_norm(found - expected)) / size


# Products of torch, as on Intel's processors; layer norm and several critics' heads have them too.
BY_TORCH = ["sac", "cql", "iql", "sac, five critics, one layer"]


@pytest.mark.parametrize(
    ("case", "largest"), [*((case, 2**31) for case in CASES), *((case, 0) for case in BY_TORCH)]
)
def test_a_hundred_updates_are_stock_d3rlpys(
    case: str,
    largest: int,
    make: Make,
    batches: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tower, "largest_product_layer", lambda: largest)
    algorithm, settings = CASES[case]
    stock, fast = make(algorithm, **settings), make(algorithm, **settings)
    update = make_update(fast)
    data = batches(20, settings.get("action_size", 1))
    with torch.random.fork_rng():
        torch.manual_seed(7)
        expected = [stock.impl.update(data[i % 20], i) for i in range(UPDATES)]
        after = torch.rand(1)
        torch.manual_seed(7)
        found = [update(data[i % 20]) for i in range(UPDATES)]
        assert torch.rand(1) == after, "another number of random draws"
    for step in range(UPDATES):
        assert found[step].keys() == expected[step].keys()
        for name, value in expected[step].items():
            assert found[step][name] == pytest.approx(value, rel=TOLERANCE, abs=1e-5), (step, name)
    ours = modules_of(fast)
    for name, module in modules_of(stock).items():
        assert apart(flat(ours[name]), flat(module)) < TOLERANCE, name
    assert apart(
        flat(ours["q_funcs"]), flat(modules_of(make(algorithm, **settings))["q_funcs"])
    ) > (100 * TOLERANCE), "nothing was learned, so nothing was compared"


def test_weight_decay_and_learning_rates_are_the_optimizers(
    make: Make, batches: Callable[..., list[Any]]
) -> None:
    from d3rlpy.models.optimizers import AdamFactory, AdamWFactory

    settings = {
        "actor_optim_factory": AdamWFactory(weight_decay=0.1, betas=(0.8, 0.9)),
        "critic_optim_factory": AdamFactory(weight_decay=0.01, eps=1e-5),
    }
    stock, fast = make("SAC", **settings), make("SAC", **settings)
    update = make_update(fast)
    with torch.random.fork_rng():
        for run, algo in ((lambda b: stock.impl.update(b, 0), stock), (update, fast)):
            torch.manual_seed(3)
            for step, batch in enumerate(batches(30)):
                algo.impl.modules.critic_optim.param_groups[0]["lr"] = 1e-3 / (1 + step)
                run(batch)
    for name in ("policy", "q_funcs"):
        found, expected = modules_of(fast)[name], modules_of(stock)[name]
        assert apart(flat(found), flat(expected)) < TOLERANCE


@pytest.mark.parametrize("algorithm", ["SAC", "CQL"])
def test_another_target_entropy_is_the_same_in_both(
    algorithm: str, make: Make, batches: Callable[..., list[Any]]
) -> None:
    """The temperature aims at what the implementation says at that moment."""
    stock, fast = (make(algorithm, temp_learning_rate=1e-2) for _ in range(2))
    update, temperatures = make_update(fast), []
    for each in (stock, fast):
        adopt(each.impl, 0.0)
    with torch.random.fork_rng():
        for run, algo in ((lambda b: stock.impl.update(b, 0), stock), (update, fast)):
            torch.manual_seed(3)
            for step, batch in enumerate(batches(40)):
                algo.impl.target_entropy = 3.0 - step / 40
                losses = run(batch)
            temperatures.append(losses["temp"])
    assert temperatures[1] == pytest.approx(temperatures[0], rel=TOLERANCE)
    for name, module in modules_of(stock).items():
        assert apart(flat(modules_of(fast)[name]), flat(module)) < TOLERANCE, name
    left = make(algorithm, temp_learning_rate=1e-2)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for batch in batches(40):
            unchanged = left.impl.update(batch, 0)["temp"]
    assert abs(temperatures[0] - unchanged) > 0.01 * unchanged, "the target did nothing"


def test_strided_batches_are_the_same_batches(
    make: Make, batches: Callable[..., list[Any]]
) -> None:
    """A gathered batch holds its tensors as columns of one matrix."""
    from dataclasses import replace

    names = ("observations", "next_observations", "actions", "rewards", "terminals", "intervals")
    (batch,) = batches(1)
    matrix = torch.cat([getattr(batch, name) for name in names], dim=1)
    widths = [getattr(batch, name).shape[1] for name in names]
    parts = torch.split(matrix, widths, dim=1)
    strided = replace(batch, **dict(zip(names, parts, strict=True)))
    assert not strided.observations.is_contiguous()
    results = []
    for used in (batch, strided):
        algo = make("CQL")
        update = make_update(algo)
        results.append([update(used, torch.Generator().manual_seed(s)) for s in range(3)])
    assert results[0] == results[1]


def test_critics_alone_leave_the_actor_and_draw_what_stock_draws(
    make: Make, batches: Callable[..., list[Any]]
) -> None:
    for algorithm in ("SAC", "CQL", "IQL"):
        stock, fast = make(algorithm), make(algorithm)
        update, before = make_update(fast), flat(fast.impl.modules.policy)
        with torch.random.fork_rng():
            torch.manual_seed(5)
            for batch in batches(10):
                stock.impl.update_critic(batch)
                stock.impl.update_critic_target()
            torch.manual_seed(5)
            for batch in batches(10):
                update(batch, train_actor=False)
        ours, theirs = modules_of(fast), modules_of(stock)
        assert torch.equal(flat(ours["policy"]), before)
        for name in ("q_funcs", "targ_q_funcs"):
            assert apart(flat(ours[name]), flat(theirs[name])) < TOLERANCE
