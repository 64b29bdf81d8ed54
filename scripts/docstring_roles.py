"""Docstrings as the pages need them: Sphinx roles as code, a name for each described parameter."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc|obj):`(~?)([^`]+)`")

SHARED = re.compile(r"^( {4,8})((?:\w+, )+)(\w+): ", flags=re.MULTILINE)


class Roles(griffe.Extension):
    """A role becomes code: of ``~a.b.C`` the last part; ``start, end: …`` is told apart."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the object's docstring."""
        if obj.docstring is not None:
            text = ROLE.sub(_shown, obj.docstring.value)
            obj.docstring.value = SHARED.sub(_apart, text)


def _shown(match: re.Match[str]) -> str:
    name = match[2].rpartition(".")[2] if match[1] else match[2]
    return f"`{name}`"


def _apart(match: re.Match[str]) -> str:
    indent, names, last = match[1], match[2].removesuffix(", ").split(", "), match[3]
    others = "".join(f"{indent}{name}: see `{last}`.\n" for name in names)
    return f"{others}{indent}{last}: "
