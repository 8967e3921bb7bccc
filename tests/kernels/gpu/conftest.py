"""Kernels for a GPU, interpreted or on a device."""

from tests.kernels.interpreter import IGNORED, as_silent_as_a_device

collect_ignore_glob = IGNORED

__all__ = ["as_silent_as_a_device"]
