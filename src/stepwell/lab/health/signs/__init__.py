"""The signs of faults: one function each, which says what it sees in the course of a training."""

from stepwell.lab.health.signs import layers as layers
from stepwell.lab.health.signs import loop as loop
from stepwell.lab.health.signs import numbers as numbers
from stepwell.lab.health.signs import pace as pace
