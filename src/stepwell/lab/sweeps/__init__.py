"""Searches over optimizers and their hyperparameters: what is proposed, what came of it, and the answer."""
