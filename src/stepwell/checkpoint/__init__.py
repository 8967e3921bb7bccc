"""One file for a training in any framework: parameters, the optimizer's state, its hyperparameters, its steps.

>>> import numpy as np, os, tempfile
>>> from stepwell import checkpoint
>>> from stepwell.numpy import Adam
>>> weights = {"w": np.ones(3)}
>>> optimizer = Adam(weights, lr=0.1)
>>> optimizer.step({"w": np.ones(3)})
>>> path = os.path.join(tempfile.mkdtemp(), "run.safetensors")
>>> checkpoint.save(path, optimizer, extra={"epoch": 1})
>>> again = Adam({"w": np.zeros(3)}, lr=0.5)
>>> checkpoint.load(path, again)
{'epoch': 1}
>>> again.params["w"], again.state["w"]["step"], again.hyper["lr"]
(array([0.9, 0.9, 0.9]), 1, 0.1)

The file is safetensors, which must be installed, keyed by parameter name; see `stepwell.checkpoint.layout`.
"""

from stepwell.checkpoint.saving import load, save
from stepwell.checkpoint.snapshot import CheckpointError

__all__ = ["CheckpointError", "load", "save"]
