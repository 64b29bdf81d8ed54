"""JSON of rows and answers: the values that Python's own writer has, whoever writes it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_trader.codec import parse_json, plain
from offline_trader.serving import row_text
from offline_trader.serving.risk import RiskState, State
from offline_trader.serving.row_text import json_text

leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
trees = st.recursive(
    leaves, lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(), x, max_size=4)
)


@pytest.fixture(params=["pydantic", "Python"])
def written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    if request.param == "Python":
        monkeypatch.setattr(row_text, "_write", None)
    else:
        pytest.importorskip("pydantic_core")
    return json_text


@given(content=st.dictionaries(st.text(), trees, max_size=5))
def test_values_come_back_to_the_bit(content: dict[str, Any]) -> None:
    assert parse_json(json_text(content)) == json.loads(json.dumps(plain(content)))


def test_what_json_lacks_and_what_numpy_has(written: Callable[..., str]) -> None:
    content = {
        "nan": math.nan,
        "inf": [1.0, -math.inf],
        "numpy": np.float64(0.1),
        "single": np.float32(0.1),
        "rows": np.array([[0.1, np.nan]]),
        "state": RiskState(state=State.HALT),
        "tuple": ((1.5, "x"),),
    }
    found = parse_json(written(content))
    assert found == json.loads(json.dumps(plain(content)))
    assert (found["nan"], found["inf"][1], found["state"]["state"]) == (None, None, "HALT")
    with pytest.raises(TypeError):
        written({"what": object()})
