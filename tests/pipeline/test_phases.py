"""The threads that a training computes with are those of its settings, whatever the machine has."""

from __future__ import annotations

import numpy as np
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from offline_trader.pipeline.phases import maths_threads


def blas_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_torch_and_linear_algebra_have_the_threads_of_the_settings() -> None:
    with threadpool_limits(2, user_api="blas"):
        before = torch.get_num_threads(), blas_threads()
        with maths_threads(1):
            assert (torch.get_num_threads(), blas_threads()) == (1, {1})
        assert (torch.get_num_threads(), blas_threads()) == before
        assert before[1] == {2}
