# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""row_sparse gradients, of dense parameters and of row_sparse ones: lazily, as MXNet has it, or as dense ones."""

import mxnet
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

import stepwell.mxnet
from stepwell import rules
from tests.doors.mxnet.harness import difference

ROWS, WIDTH, STEPS, LIMIT = 9, 3, 12, 2e-6
CASES = {
    "SGD": [{"momentum": m, "lazy_update": lazy} for m in (0.0, 0.875) for lazy in (True, False)],
    "Adam": [{"beta2": 1 - 2.0**-10, "lazy_update": lazy} for lazy in (True, False)],
    "NAG": [{}, {"momentum": 0.875, "wd": 0.0}],
    "Signum": [{}],
    "AdaGrad": [{"wd": 0.0}],  # MXNet's kernel refuses decay
    "GroupAdaGrad": [{"wd": 0.0}],
    "RMSProp": [{}, {"centered": True}],
    "AdaDelta": [{}],
    "Adamax": [{}],
    "Nadam": [{"beta2": 1 - 2.0**-10}],
}


def gradient(k: int, dtype="float32"):
    """Some rows, at one step none; the first step names all, lest Adamax divide 0 by 0."""
    rng = np.random.default_rng(k)
    rows = np.arange(ROWS) if k == 0 else np.sort(rng.choice(ROWS, 3 if k != 5 else 0, replace=False))
    values = rng.standard_normal((len(rows), WIDTH)).astype(dtype)
    return rows, values


def row_sparse(rows, values):
    if not len(rows):
        return nd.sparse.zeros("row_sparse", (ROWS, WIDTH), dtype=values.dtype)
    return nd.sparse.row_sparse_array((values, rows), shape=(ROWS, WIDTH), dtype=values.dtype)


def run(optimizer, storage="default", dtype="float32", dense=False):
    w = nd.array(np.random.default_rng(99).standard_normal((ROWS, WIDTH)), dtype=dtype).tostype(storage)
    update, found = mxnet.optimizer.get_updater(optimizer), []
    for k in range(STEPS):
        g = row_sparse(*gradient(k, dtype))
        update([0] if update.aggregate_updates else 0, *([[x] for x in (g, w)] if update.aggregate_updates else (g, w)))
        found.append([w.asnumpy().astype("f8")])
    return found


@pytest.mark.parametrize("storage", ["default", "row_sparse"])
@pytest.mark.parametrize(("name", "options"), [(name, one) for name, several in CASES.items() for one in several])
def test_the_numbers_are_mxnets(name, options, storage):
    """Lazy where MXNet's is; elsewhere each step happens to every row."""
    surround = {"wd": 0.0625, "clip_gradient": 0.5, "rescale_grad": 0.5, "learning_rate": 0.125}
    if name == "AdaDelta":
        del surround["learning_rate"]
    original = getattr(mxnet.optimizer, name, None) or getattr(mxnet.optimizer.contrib, name)
    ours, theirs = (run(kind(**{**surround, **options}), storage) for kind in (getattr(stepwell.mxnet, name), original))
    assert difference(ours, theirs) <= LIMIT


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["momentum", "adam", "yogi", "nadam", "adagrad_rowwise"])
def test_lazy_and_exact_of_any_rule(name, dtype):
    """Exact is the rule on all rows, once they are settled; lazy is the rule on those that are named."""
    rule = rules.named[name]
    hyper = rule.complete({"lr": 0.125})
    for sparse in ("exact", "lazy"):
        optimizer = stepwell.mxnet.from_rule(rule)(**hyper, sparse=sparse)
        w = nd.array(np.random.default_rng(99).standard_normal((ROWS, WIDTH)), dtype=dtype)
        p, update = w.asnumpy().astype("f8"), mxnet.optimizer.get_updater(optimizer)
        one = (ROWS, 1) if name == "adagrad_rowwise" else p.shape
        state = {s: np.full(() if s == "mu_product" else one, rule.start_of(s, hyper)) for s in rule.state}
        for k in range(STEPS):
            rows, values = gradient(k, dtype)
            update(0, row_sparse(rows, values), w)
            g = np.zeros_like(p)
            g[rows] = values
            step, *new = rule.bind({"p": p, "g": g, "t": k + 1, **state}, hyper)
            touched = np.isin(np.arange(ROWS), rows)[:, None] | (sparse == "exact")
            p = np.where(touched, p - step, p)
            fresh = dict(zip(rule.state, new, strict=True))
            state = {s: np.where(touched, x, state[s]) if np.ndim(x) else x for s, x in fresh.items()}
            optimizer.catch_up(0, nd.array(rows, dtype="int64"))
            np.testing.assert_allclose(w.asnumpy()[rows], p[rows], rtol=1e-5, atol=1e-6)
        optimizer.flush()
        limit = {"float32": 2e-6, "float64": 1e-12}[dtype]
        assert abs(w.asnumpy() - p).max() <= limit * abs(p).max()


def test_exact_rows_are_behind_until_needed():
    optimizer = stepwell.mxnet.from_rule(rules.momentum)(lr=0.5, sparse="exact")
    update, w = mxnet.optimizer.get_updater(optimizer), nd.zeros((ROWS, WIDTH))
    for k in range(3):
        update(0, row_sparse(np.array([k]), np.ones((1, WIDTH), np.float32)), w)
    before = w.asnumpy()
    assert (before[0] == -0.5).all()
    optimizer.catch_up(0, [0])
    assert (w.asnumpy()[0] != -0.5).all()
    assert (w.asnumpy()[1] == before[1]).all()
    update.get_states()
    assert (w.asnumpy()[1] == before[1]).all()
    update.get_states(dump_optimizer=True)
    assert (w.asnumpy()[1] != before[1]).all()


@pytest.mark.parametrize("name", ["sgd", "adam", "adagrad"])
@pytest.mark.parametrize("sparse_weight", [False, True])
def test_an_embedding_learns_as_with_mxnets(name, sparse_weight):
    def trained(optimizer):
        p = gluon.Parameter("table", shape=(ROWS, WIDTH), stype="row_sparse" if sparse_weight else "default",
                            grad_stype="row_sparse", init=mxnet.init.One())  # fmt: skip
        p.initialize()
        options = {"learning_rate": 0.125, **({"beta2": 1 - 2.0**-10} if name == "adam" else {})}
        trainer = gluon.Trainer([p], optimizer, options)
        for k in range(6):
            x = nd.array(np.random.default_rng(k).integers(0, ROWS, 4))
            table = p.row_sparse_data(x) if sparse_weight else p.data()
            with autograd.record():
                loss = (nd.Embedding(x, table, ROWS, WIDTH, sparse_grad=True) ** 2).sum()
            loss.backward()
            trainer.step(4)
        return [[(p.row_sparse_data(nd.arange(ROWS)) if sparse_weight else p.data()).asnumpy().astype("f8")]]

    ours, theirs = trained(f"stepwell_{name}"), trained(name)
    assert difference(ours, theirs) <= LIMIT
    assert abs(ours[0][0] - 1).max() > 0.1


def test_half_precision_with_a_copy_in_single():
    """MXNet's SGD then steps every row; ours does so where it is not lazy."""
    options = {"multi_precision": True, "momentum": 0.875, "learning_rate": 0.125}
    theirs = run(mxnet.optimizer.SGD(**options), dtype="float16")
    assert difference(run(stepwell.mxnet.SGD(**options, lazy_update=False), dtype="float16"), theirs) <= 2.0**-9
    assert difference(run(stepwell.mxnet.SGD(**options), dtype="float16"), theirs) > 0.1
