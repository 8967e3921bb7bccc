"""Where the kernels for a GPU run in tests: interpreted on the CPU, or with STEPWELL_TEST_GPU=1 on a real device.

Triton looks at TRITON_INTERPRET when a kernel is made, so it is set before any is (in the tests' conftest).
"""

import os

ON_GPU = os.environ.get("STEPWELL_TEST_GPU") == "1"
DEVICE = "cuda" if ON_GPU else "cpu"
