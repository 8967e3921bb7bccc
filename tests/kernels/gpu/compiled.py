"""Kernels compiled for an H200 where there is none: Triton brings NVIDIA's assembler. Run as a program, without the
interpreter, it prints what the machine code of some rules has, as JSON."""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from stepwell import rules
from stepwell.kernels import Stages, gpu
from stepwell.kernels.gpu import norm, rows
from stepwell.rule import exp, log, maximum, minimum, rule, sign, tanh, where
from stepwell.torch.gpu import device

TABLE, NUMBERS = "*i64", "*fp64"
CLOCK = {
    "table": TABLE, "gradients": TABLE, "groups": NUMBERS, "factor": NUMBERS, "found": "*fp32", "scalars": NUMBERS,
    "tensors": "i32",
}  # fmt: skip
STEP = {"table": TABLE, "gradients": TABLE, "which": "*i32", "scalars": NUMBERS, "found": "*fp32"}


@rule
def everything(g, m, t, *, lr=0.1, beta=0.9):
    """Every function of the language, of numbers and of elements."""
    m = where(t > 3, exp(-abs(m)), tanh(m)) + log(1 + g**2) ** 1.5 + sign(g) * beta**t
    return lr * maximum(minimum(m, 1.0), -1.0) * tanh(t / 9), m


def ptx(function: Any, signature: Mapping[str, str], **constants: int) -> str:
    """The code of a kernel for compute capability 9.0."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    types = {name: signature.get(name, "constexpr") for name in function.arg_names}
    aligned = {(k,): [["tt.divisibility", 16]] for k, t in enumerate(types.values()) if t.startswith("*")}
    source = ASTSource(function, types, {**constants}, aligned)  # as torch's tensors are
    return triton.compile(
        source, target=GPUTarget("cuda", 90, 32), options={"num_warps": gpu.WARPS, **gpu.OPTIONS}
    ).asm["ptx"]


def facts(code: str) -> dict[str, int]:
    """How often some instructions stand in the code."""
    counted = {
        "16 bytes read": r"ld\.global\.(v4\.b32|v2\.b64)", "16 bytes written": r"st\.global\.(v4\.b32|v2\.b64)",
        "fused": r"fma\.rn\.f32", "rounded division": r"div\.rn\.f", "other division": r"div\.(full|approx)",
        "rounded root": r"sqrt\.rn\.f", "other root": r"sqrt\.approx",
    }  # fmt: skip
    return {name: len(re.findall(pattern, code)) for name, pattern in counted.items()}


def main() -> None:
    """One rule of each kind, in each dtype, with and without all stages."""
    found = {}
    every = Stages(True, True, True, True, True, True)
    for given, stages, dtype in (
        (rules.adam, Stages(), "float32"), (rules.adam, every, "bfloat16"), (rules.nadam, every, "float64"),
        (rules.radam, Stages(), "float16"), (everything, Stages(), "float32"),
    ):  # fmt: skip
        kernel = gpu.kernel(given, stages, (dtype,) * len(gpu.program(given, stages).arrays))
        ptx(kernel.clock, CLOCK, LANES=gpu.LANES)
        found[f"{given.name} {dtype}"] = facts(ptx(kernel.step, STEP, BLOCK=kernel.block))
    for given in (rules.adagrad_rowwise, rules.adam):
        kernel = rows.kernel(given, Stages(), ("float32",) * len(gpu.program(given, Stages()).arrays))
        step = {"table": TABLE, "rows": TABLE, "ends": TABLE, "merged": "*fp32", "scalars": NUMBERS, "width": "i32"}
        found[f"{given.name} by rows"] = facts(ptx(kernel.step, step, BLOCK=64))
    merge = {"ends": TABLE, "order": TABLE, "values": "*i16", "merged": "*fp32", "width": "i32"}
    ptx(rows.merger("bfloat16", "float32"), merge, BLOCK=64)
    for dtype in gpu.DTYPES:
        sums = {"table": TABLE, "gradients": TABLE, "which": "*i32", "sums": NUMBERS}
        found[f"norm {dtype}"] = facts(ptx(norm.block_sums(dtype, "squares"), sums, COLUMNS=9, BLOCK=gpu.BLOCK))
    words = {f"w{k}": "i64" for k in range(device.WORDS)}
    ptx(device._put_kernel(), {"target": TABLE, "at": "i32", "count": "i32", **words})
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
