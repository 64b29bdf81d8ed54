"""The peer of `benchmarks.serving`: FastAPI and onnxruntime, an observation in, an action out.

It checks nothing, computes no feature, keeps no account and writes nothing; with a file it makes
the bytes of one decision durable there before it answers, and nothing else. Run by the benchmark as
``python -m benchmarks.bare_service MODEL PORT [FILE]``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.disk_sync import Synchronised


class Body(BaseModel):
    """[F + P] columns of one observation."""

    observation: list[float]


def main() -> None:
    """Serve until SIGTERM."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(sys.argv[1], options)
    app = FastAPI()
    written = Synchronised(Path(sys.argv[3])) if len(sys.argv) > 3 else None

    @app.post("/decide")
    async def decide(body: Body) -> dict[str, float]:
        rows = np.array([body.observation], dtype=np.float32)
        action = float(session.run(["action"], {"observation": rows})[0][0, 0])
        if written is not None:
            written.once()
        return {"action": action}

    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
