"""The peer of `benchmarks.serving`: FastAPI and onnxruntime, an observation in, an action out.

It checks nothing, computes no feature, keeps no account and writes nothing. Run by the benchmark
as ``python -m benchmarks.bare_service MODEL PORT``.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Body(BaseModel):
    """[F + P] columns of one observation."""

    observation: list[float]


def main() -> None:
    """Serve until SIGTERM."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(sys.argv[1], options)
    app = FastAPI()

    @app.post("/decide")
    async def decide(body: Body) -> dict[str, float]:
        rows = np.array([body.observation], dtype=np.float32)
        return {"action": float(session.run(["action"], {"observation": rows})[0][0, 0])}

    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
