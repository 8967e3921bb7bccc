# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Paddle is imported here, once: it warns of a missing ccache."""

import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import paddle

FOREIGN = ["ignore:Non compatible API:UserWarning", "ignore:Accumulating with FP16:UserWarning"]


@pytest.fixture(autouse=True)
def _fresh():
    """Names of parameters begin anew, as in a new process, and all is on the CPU."""
    paddle.set_device("cpu")
    before = paddle.get_default_dtype()
    with paddle.utils.unique_name.guard():
        paddle.seed(7)
        yield
    paddle.set_default_dtype(before)
