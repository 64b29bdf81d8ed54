"""The GPU engine on the CPU: stock's bits without a capture, and the capture's rules with one.

CUDA graphs need a GPU. What a graph demands of an update does not: here :class:`Recorded` takes
the place of ``torch.cuda.graph``. It keeps the tensor operations of one run of the work and their
memory, and repeats those operations on that memory without any Python of the update. It refuses
what a capture refuses: reading a value on the host, and making a tensor from a number there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Learner, load_learner, make_learner
from offline_trader.learning.d3rlpy import device_update as _device_update
from offline_trader.learning.data import Sampler, Transitions, pack
from offline_trader.learning.engines import (
    AdamSteps,
    Capture,
    FixedBatch,
    GraphedEngine,
    StockEngine,
    graphed,
    make_engine,
    require_device,
)
from offline_trader.learning.engines.graphed import WARMUPS
from offline_trader.learning.settings import ALGORITHMS, LearnerConfig

CASES: list[tuple[str, dict[str, Any]]] = [
    *[(algorithm, {}) for algorithm in ALGORITHMS],
    ("sac", {"temp_lr": 0.0, "behaviour_weight": 0.5}),
    ("cql", {"alpha_lr": 1e-3, "soft_q_backup": True, "layer_norm": True}),
    ("sac", {"encoder": "gru"}),
    ("sac", {"encoder": "convolution"}),
]
NAMES = [
    " ".join([algorithm, *(f"{key}={value}" for key, value in settings.items())])
    for algorithm, settings in CASES
]
CRITIC_UPDATES, UPDATES = 12, 50

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Recorded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Operations of some work on the CPU, recorded and repeated as a CUDA graph does it."""

    HOST = ("_local_scalar_dense", "is_nonzero", "lift_fresh", "item")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.warmed, self.captured, self.waited = 0, 0, 0
        self._operations: list[tuple[Any, Any, Any, list[Any]]] = []
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._inside: dict[int, torch.Tensor] = {}

    def warm(self, work: Callable[[], None]) -> None:
        self.warmed += 1
        work()

    def wait(self) -> None:
        self.waited += 1

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Run the work, then undo all it did to tensors that were there before."""
        self.captured += 1
        self._operations, self._before, self._inside = [], {}, {}
        generator = torch.get_rng_state()
        with self:
            work()
        torch.set_rng_state(generator)
        for storage, value in self._before.values():
            storage.copy_(value)
        operations = self._operations
        return lambda: self._repeat(operations)

    @staticmethod
    def _repeat(operations: list[tuple[Any, Any, Any, list[Any]]]) -> None:
        with torch.no_grad():
            for function, args, kwargs, outputs in operations:
                again = tree_flatten(function(*args, **kwargs))[0]
                for output, value in zip(outputs, again, strict=True):
                    if isinstance(output, torch.Tensor) and memory(output) != memory(value):
                        output.copy_(value)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        assert name not in self.HOST, f"a capture cannot do {func}"
        for tensor in tree_flatten((args, kwargs))[0]:
            if isinstance(tensor, torch.Tensor):
                where = memory(tensor)
                if where not in self._inside and where not in self._before:
                    storage = tensor.untyped_storage()
                    self._before[where] = (storage, storage.clone())  # type: ignore[no-untyped-call]
        result = func(*args, **(kwargs or {}))
        outputs = tree_flatten(result)[0]
        for output in outputs:
            if isinstance(output, torch.Tensor) and memory(output) not in self._before:
                self._inside[memory(output)] = output  # kept: the recording's own memory
        self._operations.append((func, args, kwargs or {}, outputs))
        return result


class Again:
    """Does the same work again, in Python, without recording it."""

    def warm(self, work: Callable[[], None]) -> None:
        work()

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        return work

    def wait(self) -> None:
        """Nothing is under way."""


def memory(tensor: torch.Tensor) -> int:
    """Which memory a tensor lies in."""
    return int(tensor.untyped_storage()._cdata)


@pytest.fixture
def capturable_adam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam that counts in tensors on the CPU, where torch does not offer it."""
    adam = sys.modules["torch.optim.adam"]  # torch.optim hides the module behind the class
    monkeypatch.setattr(adam, "_get_capturable_supported_devices", lambda *_, **__: ["cpu"])


def learner_of(algorithm: str, **settings: Any) -> Learner:
    given: dict[str, Any] = {"hidden": (16, 16), "batch_size": 32, "engine": "stock", **settings}
    config = LearnerConfig(algorithm=algorithm, **given)
    return make_learner(config, 2, None, 3, windows=((1, 0),))


def graphed_learner(capture: Capture | None, algorithm: str, **settings: Any) -> Learner:
    learner = learner_of(algorithm, **settings)
    learner.engine = GraphedEngine(learner.algo, capture)
    return learner


def sampler_of(learner: Learner, data: Transitions) -> Sampler:
    learner.fit_reward_scale(data.rewards)
    rows = pack(data, learner.preprocessing, device=learner.config.device)
    return Sampler(rows, batch_size=learner.config.batch_size, seed=1)


def train(learner: Learner, sampler: Sampler, updates: int, critic_updates: int = 0) -> None:
    with learner.randomness():
        for update in range(updates):
            learner.engine.update(sampler.sample(), train_actor=update >= critic_updates)


def tensors(learner: Learner) -> dict[str, torch.Tensor]:
    """Weights and moments of everything, and the next draw of the learner's stream."""
    learner.engine.flush()
    found: dict[str, torch.Tensor] = {}
    for name, part in vars(learner.algo.impl.modules).items():
        if isinstance(part, torch.nn.Module):
            found |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
        elif part is not None:
            for index, moments in part.state_dict()["state"].items():
                found |= {f"{name}.{index}.{key}": value for key, value in moments.items()}
    with learner.randomness():
        found["next draw"] = torch.rand(3, device=learner.config.device)
    return {name: tensor.detach().cpu().clone() for name, tensor in found.items()}


@pytest.mark.parametrize(("algorithm", "settings"), CASES, ids=NAMES)
def test_without_a_capture_it_is_stock_to_the_bit(
    algorithm: str, settings: dict[str, Any], uniform_data: Transitions, tmp_path: Path
) -> None:
    ours, stock = graphed_learner(None, algorithm, **settings), learner_of(algorithm, **settings)
    assert isinstance(stock.engine, StockEngine)
    saved = []
    for learner, name in ((ours, "ours"), (stock, "stock")):
        train(learner, sampler_of(learner, uniform_data), UPDATES, CRITIC_UPDATES)
        learner.save(tmp_path / f"{name}.d3")
        saved.append((tmp_path / f"{name}.d3").read_bytes())
    assert ours.engine.state_dict() == stock.engine.state_dict()
    assert ours.engine.metrics() == stock.engine.metrics() != {}
    assert ours.engine.metrics() == {}
    assert ours.algo.grad_step == stock.algo.grad_step == UPDATES - CRITIC_UPDATES
    theirs = tensors(stock)
    for name, tensor in tensors(ours).items():
        assert torch.equal(tensor, theirs[name]), name
    assert saved[0] == saved[1]


@pytest.mark.usefixtures("capturable_adam")
@pytest.mark.parametrize(("algorithm", "settings"), CASES, ids=NAMES)
def test_repeating_recorded_updates_is_training(
    algorithm: str, settings: dict[str, Any], uniform_data: Transitions
) -> None:
    recorded = Recorded()
    ours, again = (graphed_learner(c, algorithm, **settings) for c in (recorded, Again()))
    stock = learner_of(algorithm, **settings)
    for learner in (ours, again, stock):
        train(learner, sampler_of(learner, uniform_data), 30, CRITIC_UPDATES)
    kinds = 3 if algorithm == "td3_plus_bc" else 2
    assert (recorded.captured, recorded.warmed) == (kinds, kinds * WARMUPS)
    losses = ours.engine.metrics()
    assert losses == again.engine.metrics()
    # Adam's correction of its bias is in float32 here, in Python's floats in stock
    assert losses == pytest.approx(dict(stock.engine.metrics()), rel=1e-4, abs=1e-6)
    assert ours.algo.grad_step == stock.algo.grad_step
    mine, same, near = (tensors(learner) for learner in (ours, again, stock))
    for name, tensor in mine.items():
        assert torch.equal(tensor, same[name]), name
        torch.testing.assert_close(tensor, near[name], rtol=1e-3, atol=1e-4, msg=name)
    assert torch.equal(mine["next draw"], near["next draw"])


@pytest.mark.usefixtures("capturable_adam")
@pytest.mark.parametrize("algorithm", ["cql", "td3_plus_bc"])
def test_flush_leaves_stocks_optimizers_and_the_recording_goes_on(
    algorithm: str, uniform_data: Transitions, tmp_path: Path
) -> None:
    import d3rlpy

    results = []
    for pause in (False, True):
        capture = Recorded()
        learner = graphed_learner(capture, algorithm)
        sampler = sampler_of(learner, uniform_data)
        for _ in range(6):
            train(learner, sampler, 4)
            if pause:
                learner.save(tmp_path / "x.d3")
        assert capture.captured == (2 if algorithm == "td3_plus_bc" else 1)
        results.append(tensors(learner))
    assert all(torch.equal(tensor, results[1][name]) for name, tensor in results[0].items())
    loaded = d3rlpy.load_learnable(str(tmp_path / "x.d3"))
    optimizer = loaded.impl.modules.critic_optim
    assert [group["capturable"] for group in optimizer.param_groups] == [False]
    assert [float(values["step"]) for values in optimizer.state.values()][:2] == [24.0, 24.0]
    seen = uniform_data.observations[:5]
    np.testing.assert_allclose(loaded.predict(seen), learner.act(seen), atol=1e-6)


@pytest.mark.usefixtures("capturable_adam")
@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("algorithm", ["sac", "iql", "td3_plus_bc"])
def test_a_resumed_training_gives_the_bytes_of_an_uninterrupted_one(
    algorithm: str, captured: bool, uniform_data: Transitions, tmp_path: Path
) -> None:
    def begin() -> tuple[Learner, Sampler]:
        learner = graphed_learner(Recorded() if captured else None, algorithm)
        return learner, sampler_of(learner, uniform_data)

    whole, sampler = begin()
    train(whole, sampler, 9, 3)
    state, drawn = whole.state_dict(), sampler.state_dict()
    train(whole, sampler, 11)
    resumed, sampler = begin()
    train(resumed, sampler, 5)  # has recorded something else before
    resumed.load_state_dict(state)
    sampler.load_state_dict(drawn)
    train(resumed, sampler, 11)
    assert resumed.engine.metrics() == whole.engine.metrics()
    theirs = tensors(whole)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in tensors(resumed).items())
    whole.save(tmp_path / "whole.d3")
    resumed.save(tmp_path / "resumed.d3")
    assert (tmp_path / "whole.d3").read_bytes() == (tmp_path / "resumed.d3").read_bytes()


@pytest.mark.usefixtures("capturable_adam")
def test_it_records_anew_after_a_reload_and_for_another_batch(uniform_data: Transitions) -> None:
    capture = Recorded()
    learner = graphed_learner(capture, "sac")
    sampler = sampler_of(learner, uniform_data)
    train(learner, sampler, WARMUPS + 2)
    snapshot = learner.snapshot()
    train(learner, sampler, 2)
    assert (capture.captured, capture.waited) == (1, 0)
    learner.restore(snapshot)
    assert capture.waited == 1
    before = tensors(learner)
    train(learner, sampler, WARMUPS + 1)
    assert capture.captured == 2
    changed = tensors(learner)
    assert not learner.algo.impl.modules.critic_optim.param_groups[0]["capturable"]
    assert all(not torch.equal(before[n], changed[n]) for n in before if "weight" in n)
    rows = pack(uniform_data, learner.preprocessing)
    train(learner, Sampler(rows, batch_size=16, seed=0), WARMUPS + 1)
    assert (capture.captured, capture.waited) == (3, 2)


@pytest.mark.usefixtures("capturable_adam")
def test_it_records_anew_at_another_pace(uniform_data: Transitions) -> None:
    """Learning rates and the target entropy are numbers in what was recorded."""
    capture = Recorded()
    ours, stock = graphed_learner(capture, "sac"), learner_of("sac")
    for learner in (ours, stock):
        sampler = sampler_of(learner, uniform_data)
        for entropy, rate in ((-1.0, 1.0), (-4.0, 0.5), (-4.0, 0.01)):
            learner.set_pace(entropy, rate)
            train(learner, sampler, WARMUPS + 5)
    assert capture.captured == 3
    near = tensors(stock)
    for name, tensor in tensors(ours).items():
        torch.testing.assert_close(tensor, near[name], rtol=1e-3, atol=1e-4, msg=name)


def test_the_recorder_refuses_d3rlpys_own_update(uniform_data: Transitions) -> None:
    """The test double would see a host's read in what is captured: stock's update has them."""
    learner = learner_of("sac")
    batch = sampler_of(learner, uniform_data).sample()
    with pytest.raises(AssertionError, match="a capture cannot do"):
        Recorded().capture(lambda: learner.algo.impl.update(batch, 0))


def test_a_fixed_batch_keeps_values_strides_and_common_memory(uniform_data: Transitions) -> None:
    learner = learner_of("sac")
    sampler = sampler_of(learner, uniform_data)
    first, second = sampler.sample(), sampler.sample()
    fixed = FixedBatch(first)
    columns = [n for n, v in vars(first).items() if isinstance(v, torch.Tensor)]
    where = [getattr(fixed.batch, name).data_ptr() for name in columns]
    for batch in (first, second):
        assert fixed.fits(batch)
        fixed.fill(batch)
        for name in columns:
            ours, theirs = getattr(fixed.batch, name), getattr(batch, name)
            assert torch.equal(ours, theirs), name
            assert ours.stride() == theirs.stride()
    assert [getattr(fixed.batch, name).data_ptr() for name in columns] == where
    assert len({getattr(fixed.batch, name).untyped_storage().data_ptr() for name in columns}) == 1
    apart = replace(second, **{name: getattr(second, name).clone() for name in columns})
    assert not fixed.fits(apart)
    separate = FixedBatch(apart)
    separate.fill(apart)
    assert all(torch.equal(getattr(separate.batch, n), getattr(apart, n)) for n in columns)
    strided = replace(second, observations=torch.randn(32, 9).t()[:2].t())
    other = FixedBatch(strided)
    other.fill(strided)
    assert torch.equal(other.batch.observations, strided.observations)


def test_adams_counters_keep_their_memory_and_their_count() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight])
    weight.grad = torch.ones(3)
    optimizer.step()
    steps = AdamSteps([optimizer], torch.device("cpu"))
    for count in (1.0, 2.0):
        steps.engage()
        steps.engage()  # a second time is nothing
        assert optimizer.param_groups[0]["capturable"]
        counter = optimizer.state[weight]["step"]
        assert counter.item() == count
        if count == 1.0:
            first = counter
        assert counter is first
        counter += 1.0
        steps.release()
        steps.release()
        assert not optimizer.param_groups[0]["capturable"]
        assert optimizer.state[weight]["step"].item() == count + 1.0
        assert optimizer.state[weight]["step"] is not counter
    optimizer.step()
    steps.engage()
    assert first.item() == 4.0


def test_what_a_graph_cannot_hold_goes_to_stock() -> None:
    import d3rlpy

    plain = _device_update.unsupported(learner_of("cql").algo)
    assert plain is None
    cases = {
        "optimizer SGD": d3rlpy.algos.SACConfig(critic_optim_factory=d3rlpy.models.SGDFactory()),
        "Q function ContinuousQRQFunction": d3rlpy.algos.SACConfig(
            q_func_factory=d3rlpy.models.QRQFunctionFactory()
        ),
        "algorithm DDPGConfig": d3rlpy.algos.DDPGConfig(),
    }
    for reason, config in cases.items():
        algo = config.create()
        algo.create_impl((2,), 1)
        assert _device_update.unsupported(algo) == reason


def test_the_engine_of_a_cuda_device(monkeypatch: pytest.MonkeyPatch) -> None:
    algo, asked = learner_of("cql").algo, []

    def make(bound: Any) -> Any:
        asked.append(bound)
        return GraphedEngine(bound)

    monkeypatch.setattr(graphed, "make_graphed_engine", make)
    assert make_engine(algo, LearnerConfig(device="cuda:1")).name == "graphed"
    assert asked == [algo]
    assert make_engine(algo, LearnerConfig(device="cuda", engine="stock")).name == "stock"
    assert make_engine(algo, LearnerConfig(device="cpu")).name == "fast"
    assert len(asked) == 1
    monkeypatch.setattr(graphed, "make_graphed_engine", lambda _: None)
    fallen = make_engine(algo, LearnerConfig(device="cuda"))
    assert (fallen.name, fallen.reason) == ("stock", "parameters that are not on a GPU")


def test_no_graphs_for_networks_on_the_cpu() -> None:
    assert graphed.make_graphed_engine(learner_of("cql").algo) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"device '{name}'"):
        require_device(name)
    with pytest.raises(ConfigError, match="--device cpu"):
        learner_of("cql", device=name)
    with pytest.raises(ConfigError, match="--device cpu"):
        load_learner(tmp_path / "none.d3", LearnerConfig(device=name))


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:x", ""])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cpu, cuda or cuda:N"):
        require_device(name)


def test_a_samplers_state_of_another_device_is_refused(uniform_data: Transitions) -> None:
    sampler = sampler_of(learner_of("sac"), uniform_data)
    cuda = torch.zeros(16, dtype=torch.uint8)  # seed and offset
    with pytest.raises(ConfigError, match="does not fit the device cpu"):
        sampler.load_state_dict({"generator": cuda})


@on_a_gpu
@pytest.mark.parametrize(("algorithm", "settings"), CASES, ids=NAMES)
def test_graphs_on_a_gpu_train_as_stock_does_there(
    algorithm: str, settings: dict[str, Any], uniform_data: Transitions, tmp_path: Path
) -> None:
    import d3rlpy

    ours = learner_of(algorithm, device="cuda", **{**settings, "engine": "fast"})
    stock = learner_of(algorithm, device="cuda", **settings)
    assert (ours.engine.name, stock.engine.name) == ("graphed", "stock")
    for learner in (ours, stock):
        train(learner, sampler_of(learner, uniform_data), UPDATES, CRITIC_UPDATES)
    losses = dict(stock.engine.metrics())
    assert ours.engine.metrics() == pytest.approx(losses, rel=1e-3, abs=1e-4)
    mine, near = tensors(ours), tensors(stock)
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, near[name], rtol=1e-2, atol=1e-3, msg=name)
    assert torch.equal(mine["next draw"], near["next draw"])
    ours.save(tmp_path / "x.d3")
    loaded = d3rlpy.load_learnable(str(tmp_path / "x.d3"))
    optimizer = loaded.impl.modules.critic_optim
    assert not optimizer.param_groups[0]["capturable"]
    assert {values["step"].device.type for values in optimizer.state.values()} == {"cpu"}
    seen = uniform_data.observations[:5]
    np.testing.assert_allclose(loaded.predict(seen), ours.act(seen), atol=1e-5)


@on_a_gpu
def test_a_training_on_a_gpu_resumes_after_recording_anew(uniform_data: Transitions) -> None:
    whole = learner_of("cql", device="cuda", engine="fast")
    sampler = sampler_of(whole, uniform_data)
    train(whole, sampler, 20, CRITIC_UPDATES)
    state, drawn = whole.state_dict(), sampler.state_dict()
    train(whole, sampler, 20)
    resumed = learner_of("cql", device="cuda", engine="fast")
    sampler = sampler_of(resumed, uniform_data)
    train(resumed, sampler, 10)
    resumed.load_state_dict(state)
    sampler.load_state_dict(drawn)
    train(resumed, sampler, 20)
    expected = dict(whole.engine.metrics())
    assert resumed.engine.metrics() == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert torch.equal(tensors(resumed)["next draw"], tensors(whole)["next draw"])
