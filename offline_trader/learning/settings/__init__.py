"""Settings of agents and stages, a file each: frozen, checked, no torch needed to read them."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.settings.auxiliary import AuxiliaryConfig, HeadWeights
    from offline_trader.learning.settings.clone import CloneConfig
    from offline_trader.learning.settings.curiosity import CuriosityConfig
    from offline_trader.learning.settings.curriculum import CurriculumConfig, DifficultyConfig
    from offline_trader.learning.settings.dagger import DaggerConfig
    from offline_trader.learning.settings.direct import DirectAgentConfig, DirectConfig
    from offline_trader.learning.settings.evolution import (
        EvolutionAgentConfig,
        EvolutionConfig,
        HybridAgentConfig,
    )
    from offline_trader.learning.settings.impala import ImpalaConfig
    from offline_trader.learning.settings.learner import (
        ALGORITHMS,
        AgentConfig,
        AWACConfig,
        CalQLConfig,
        CQLConfig,
        IQLConfig,
        LearnerConfig,
        SACConfig,
        TD3PlusBCConfig,
    )
    from offline_trader.learning.settings.leash import LeashConfig
    from offline_trader.learning.settings.objectives import (
        COMPONENTS,
        LARGEST_WEIGHT,
        ObjectivesConfig,
        require_weights,
    )
    from offline_trader.learning.settings.offline import OfflineConfig
    from offline_trader.learning.settings.online import OnlineConfig
    from offline_trader.learning.settings.options import OptionsConfig
    from offline_trader.learning.settings.replay import ReplayConfig
    from offline_trader.learning.settings.shaping import POTENTIALS, ShapingConfig

__all__ = [
    "ALGORITHMS",
    "AWACConfig",
    "AgentConfig",
    "AuxiliaryConfig",
    "COMPONENTS",
    "CQLConfig",
    "CalQLConfig",
    "CloneConfig",
    "CuriosityConfig",
    "CurriculumConfig",
    "DaggerConfig",
    "DifficultyConfig",
    "DirectAgentConfig",
    "DirectConfig",
    "EvolutionAgentConfig",
    "EvolutionConfig",
    "HeadWeights",
    "HybridAgentConfig",
    "IQLConfig",
    "ImpalaConfig",
    "LARGEST_WEIGHT",
    "LearnerConfig",
    "LeashConfig",
    "ObjectivesConfig",
    "OfflineConfig",
    "OnlineConfig",
    "OptionsConfig",
    "ReplayConfig",
    "POTENTIALS",
    "SACConfig",
    "ShapingConfig",
    "TD3PlusBCConfig",
    "require_weights",
]

__getattr__ = lazy_names(__name__)
