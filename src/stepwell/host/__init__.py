"""Arrays in host memory under a rule, in place: what the doors of NumPy, Paddle and MXNet have in common."""
