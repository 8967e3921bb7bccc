"""Every rule through this door beside the float64 reference."""

from tests.doors.matrix import Matrix


class TestMatrix(Matrix):
    door = "torch"
