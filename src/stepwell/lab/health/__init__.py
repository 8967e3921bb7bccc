"""Whether a training is healthy: what an optimizer does, step by step, and what is wrong with it."""
