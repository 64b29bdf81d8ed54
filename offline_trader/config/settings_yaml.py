"""YAML of settings: each name once, and no value that contains itself.

YAML's own reader takes the last of two equal names, so that a second ``limits:`` further down
would silently put the default ones back in the place of the first.
"""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ["settings_of"]

_LARGEST = 1_000_000
_MERGE = "tag:yaml.org,2002:merge"


def settings_of(text: str) -> Any:
    """What ``text`` holds, read as data.

    Raises:
        yaml.YAMLError: no YAML, a name that is there twice in one mapping, a value that contains
            itself, or repetitions (``*name``) that come to more than a million values.
    """
    return yaml.load(text, _Settings)


class _Settings(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """A value, whose size is known once it is whole."""
        again = self.check_event(yaml.AliasEvent)
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        if node is None:
            return None
        if again and node not in self._sizes:
            raise yaml.MarkedYAMLError(problem="a value contains itself", problem_mark=mark)
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        if isinstance(node, yaml.MappingNode):
            _require_once(node)
            parts = [part for pair in node.value for part in pair]
        self._sizes[node] = 1 + sum(self._sizes[part] for part in parts)
        if self._sizes[node] > _LARGEST:
            raise yaml.MarkedYAMLError(problem="too many repetitions", problem_mark=mark)
        return node


def _require_once(node: yaml.MappingNode) -> None:
    names = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            if key.value in names:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} is there twice", problem_mark=key.start_mark
                )
            names.add(key.value)
