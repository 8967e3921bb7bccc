"""Every rule through MXNet beside the float64 reference."""

from tests.doors.matrix import Matrix


class TestMatrix(Matrix):
    door = "mxnet"
