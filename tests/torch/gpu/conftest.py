"""torch's parameters through the kernels for a GPU, interpreted or on a device."""

from tests.kernels.interpreter import IGNORED, ON_GPU, as_silent_as_a_device

collect_ignore_glob = IGNORED
collect_ignore = [] if ON_GPU else ["test_graphs.py"]

__all__ = ["as_silent_as_a_device"]
