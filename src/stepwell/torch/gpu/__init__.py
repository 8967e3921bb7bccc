"""torch's parameters on a GPU: what takes them, their step without a word from the device, and CUDA graphs of it."""
