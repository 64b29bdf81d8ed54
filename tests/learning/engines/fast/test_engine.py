"""The engine around the fast updates: saving, resuming, falling back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.learning.engines import make_engine
from offline_trader.learning.engines.fast import FastEngine, make_update, unsupported
from offline_trader.learning.settings import LearnerConfig

Make = Callable[..., Any]
Batches = Callable[..., list[Any]]


def flat(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.parametrize("algorithm", ["SAC", "CQL", "CalQL", "IQL"])
def test_a_saved_model_is_stock_d3rlpys_with_its_optimizers(
    algorithm: str, make: Make, batches: Batches, tmp_path: Path
) -> None:
    import d3rlpy

    algo = make(algorithm)
    engine = FastEngine(algo)
    data = batches(6)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        for batch in data[:5]:
            engine.update(batch)
        engine.flush()
        algo.save(str(tmp_path / "model.d3"))
        loaded = d3rlpy.load_learnable(str(tmp_path / "model.d3"))
        seen = data[5].observations.numpy()
        np.testing.assert_allclose(loaded.predict(seen), algo.predict(seen), atol=1e-6)
        # The next update, by stock from the file and by us, is the same: so are the moments.
        torch.manual_seed(3)
        engine.update(data[5])
        torch.manual_seed(3)
        loaded.impl.update(data[5], 6)
    for name in ("policy", "q_funcs", "targ_q_funcs"):
        ours, theirs = getattr(algo.impl.modules, name), getattr(loaded.impl.modules, name)
        torch.testing.assert_close(flat(ours), flat(theirs), rtol=1e-4, atol=1e-6)
    assert algo.grad_step == 6
    step = next(iter(loaded.impl.modules.critic_optim.state.values()))["step"]
    assert float(step) == 6.0


def test_flush_and_reload_change_no_byte(make: Make, batches: Batches) -> None:
    results = []
    for pause in (False, True):
        algo = make("CQL", alpha_learning_rate=1e-3)
        engine = FastEngine(algo)
        with torch.random.fork_rng():
            torch.manual_seed(4)
            for batch in batches(6):
                engine.update(batch)
                if pause:
                    engine.flush()
                    engine.reload()
        results.append(flat(algo.impl.modules.q_funcs))
    assert torch.equal(*results)


def test_stock_updates_may_come_between(make: Make, batches: Batches) -> None:
    stock, mixed = make("SAC"), make("SAC")
    engine = FastEngine(mixed)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        for batch in batches(9):
            stock.impl.update(batch, 0)
        torch.manual_seed(4)
        for i, batch in enumerate(batches(9)):
            if i % 3 == 1:
                engine.flush()
                mixed.impl.update(batch, 0)
                engine.reload()
            else:
                engine.update(batch)
    for name in ("policy", "q_funcs"):
        ours, theirs = (flat(getattr(a.impl.modules, name)) for a in (mixed, stock))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_metrics_are_means_since_the_last_call(make: Make, batches: Batches) -> None:
    first, second = batches(2)
    single, together = make("IQL"), FastEngine(make("IQL"))
    update = make_update(single)
    losses = [update(first), update(second)]
    together.update(first)
    together.update(second)
    means = together.metrics()
    for name, value in means.items():
        assert value == pytest.approx((losses[0][name] + losses[1][name]) / 2)
    assert together.metrics() == {}


def test_the_behaviour_term_is_the_stock_engines(make: Make, batches: Batches) -> None:
    from offline_trader.learning.d3rlpy import objectives as _objectives

    stock, fast = make("SAC"), make("SAC")
    for algo in (stock, fast):
        _objectives.adopt(algo.impl, 0.4)
    update, plain = make_update(fast), make("SAC")
    with torch.random.fork_rng():
        losses = []
        for run in (
            lambda b: stock.impl.update(b, 0),
            update,
            lambda b: plain.impl.update(b, 0),
        ):
            torch.manual_seed(8)
            losses.append([run(batch)["actor_loss"] for batch in batches(20)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4, abs=1e-5)
    assert losses[2] != pytest.approx(losses[0], rel=1e-2)
    ours, theirs = flat(fast.impl.modules.policy), flat(stock.impl.modules.policy)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def outside() -> dict[str, tuple[str, dict[str, Any], str]]:
    from d3rlpy.models.encoders import VectorEncoderFactory
    from d3rlpy.models.optimizers import AdamFactory, SGDFactory
    from d3rlpy.models.q_functions import QRQFunctionFactory

    tanh = VectorEncoderFactory([8, 8], activation="tanh")
    return {
        "tanh": ("SAC", {"critic_encoder_factory": tanh}, "encoder"),
        "dropout": (
            "SAC",
            {"actor_encoder_factory": VectorEncoderFactory([8, 8], dropout_rate=0.1)},
            "encoder",
        ),
        "sgd": ("SAC", {"critic_optim_factory": SGDFactory()}, "SGD"),
        "amsgrad": ("SAC", {"critic_optim_factory": AdamFactory(amsgrad=True)}, "amsgrad"),
        "quantiles": ("SAC", {"q_func_factory": QRQFunctionFactory()}, "Q function"),
        "max backup": ("CQL", {"max_q_backup": True}, "max_q_backup"),
        "algorithm": ("TD3PlusBC", {}, "algorithm"),
        "subclass": ("AWAC", {}, "algorithm"),
    }


@pytest.mark.parametrize("case", list(outside()))
def test_what_it_does_not_cover_goes_to_stock(case: str, make: Make, batches: Batches) -> None:
    algorithm, settings, reason = outside()[case]
    algo = make(algorithm, **settings)
    found = unsupported(algo)
    assert found is not None
    assert reason in found
    with pytest.raises(ValueError, match="no fast update"):
        make_update(algo)
    engine = make_engine(algo, LearnerConfig(engine="fast"))
    assert (engine.name, engine.reason) == ("stock", found)
    engine.update(batches(1)[0])
    assert np.isfinite(list(engine.metrics().values())).all()


def test_the_switch(make: Make) -> None:
    for name in ("fast", "stock"):
        engine = make_engine(make("CQL"), LearnerConfig(engine=name))
        assert (engine.name, engine.reason) == (name, None)
