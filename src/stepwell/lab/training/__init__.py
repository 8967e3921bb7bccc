"""How trials are trained: one by one, or stacked into one training that equals that; what pays is measured."""
