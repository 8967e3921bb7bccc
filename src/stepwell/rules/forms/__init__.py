"""Forms of the algorithms under which frameworks offer them: ε elsewhere, the rate inside the velocity, and the like.

Each is a rule like any other; it stands apart so that the algorithms can be looked over, and compared, without them.
"""
