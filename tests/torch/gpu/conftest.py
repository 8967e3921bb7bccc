"""torch's parameters through the kernels for a GPU, interpreted or on a device."""

from tests.kernels.interpreter import as_silent_as_a_device

__all__ = ["as_silent_as_a_device"]
