"""A stage of training: the protocol, and what stages train on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Agent, Learner
from offline_trader.learning.data import Transitions
from offline_trader.learning.stages.results import Checkpoint, Evaluate, Log, StageResult
from offline_trader.workers import Workers

if TYPE_CHECKING:
    from offline_trader.learning.stages.auxiliary import AuxiliaryData
    from offline_trader.learning.stages.dagger import AskedLanes
    from offline_trader.learning.stages.direct import DirectMarket
    from offline_trader.learning.stages.impala.acting import MakeLanes
    from offline_trader.learning.stages.lanes import Lanes

__all__ = ["Stage", "StageData", "need", "need_learner"]


@dataclass(frozen=True)
class StageData:
    """What there is to train on; a stage takes what it needs.

    Attributes:
        transitions: an offline dataset.
        market: logged bars with the portfolio's dynamics.
        lanes: environments in step.
        asked: environments in step, whose experts can be asked what they would do.
        labelled: observations with the labels of their bars and experts.
        make_lanes: makes environments in step, of (number, seed), for actors elsewhere.
        workers: how many processes, or which cluster, a stage may use that asks for them.
        scratch: folder of temporary files.
        keep: writes (name, bytes) as a file of the run.
    """

    transitions: Transitions | None = None
    market: DirectMarket | None = None
    lanes: Lanes | None = None
    asked: AskedLanes | None = None
    labelled: AuxiliaryData | None = None
    make_lanes: MakeLanes | None = None
    workers: Workers = 1
    scratch: Path | None = None
    keep: Callable[[str, bytes], None] | None = None


class Stage(Protocol):
    """One way to train an agent, with its settings.

    Attributes:
        Config: the class of its settings; its defaults make a stage without any.
        needs: the parts of the data that it trains on, names of :class:`StageData`'s fields.
        config: its settings.
        steps: that it will take in all.
    """

    Config: ClassVar[type[Any]]
    needs: ClassVar[tuple[str, ...]]

    def __init__(self, config: Any) -> None: ...

    @property
    def config(self) -> Any: ...

    @property
    def steps(self) -> int: ...

    def fit(
        self,
        agent: Agent,
        data: StageData,
        log: Log | None = None,
        evaluate: Evaluate | None = None,
        checkpoint: Checkpoint | None = None,
        *,
        seed: int = 0,
        resume: Mapping[str, Any] | None = None,
    ) -> StageResult:
        """Train ``agent`` in place.

        Args:
            agent: what is trained.
            data: what it is trained on.
            log: gets (step, values).
            evaluate: validates a policy: a mapping with ``score``, higher is better.
            checkpoint: gets (step, state) from time to time.
            seed: of every draw.
            resume: such a state: go on from it, to the same bytes as without the interruption.

        Raises:
            ConfigError: an agent or data that the stage cannot use.
        """
        ...


def need(data: StageData, name: str, stage: str) -> Any:
    """That part of ``data``.

    Raises:
        ConfigError: it is not there.
    """
    found = getattr(data, name)
    if found is None:
        raise ConfigError(f"the {stage} stage without {name}", expected=f"StageData({name}=...)")
    return found


def need_learner(agent: Agent, stage: str) -> Learner:
    """``agent``, which is a d3rlpy algorithm.

    Raises:
        ConfigError: another agent.
    """
    if not isinstance(agent, Learner):
        raise ConfigError(
            f"the {stage} stage of {agent.config.algorithm}", expected="a d3rlpy algorithm"
        )
    return agent
