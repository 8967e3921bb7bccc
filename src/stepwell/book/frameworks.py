"""How the frameworks' versions of an algorithm differ: defaults, where ε stands, which rule here is equal.

What is said of a framework is checked by the tests against its package, Keras, Paddle and MXNet 1.9 in the environments
of their doors; what is said of the book's own functions is from its text.

>>> version = of("rmsprop")[0]
>>> version.name, version.epsilon, version.rule
('torch.optim.RMSprop', 'beside the root', 'rmsprop')
>>> version.settings  # its defaults, as our rule spells them
{'lr': 0.01, 'gamma': 0.99, 'eps': 1e-08}
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stepwell.book.section import Table
from stepwell.rules import named

COLUMNS = ("framework", "call and defaults", "ε", "equal to", "remark", "known from")

UNDER, BESIDE = "under the root", "beside the root"
HAT = "beside the root of v, whose bias is corrected only outside: ε̂ in the paper's words"
ADDED = "added to the parameter"
RATE_IN_VELOCITY = "the rate enters the velocity: `momentum` while the rate does not change, and only then"
HAT_REMARK = "its ε is that of `adam` over √(1-β₂ᵗ), 31.6 times as large at the first step, by default"
NO_PARENTHESIS = "a parenthesis is missing: see errata 1 and 2"

_SPELLING = {
    "learning_rate": "lr", "momentum": "beta", "alpha": "gamma", "decay": "gamma", "gamma1": "gamma",
    "schedule_decay": "momentum_decay", "epsilon": "eps", "initial_accumulator_value": "initial_accumulator",
    "b1": "beta1", "b2": "beta2", "beta_1": "beta1", "beta_2": "beta2",
}  # fmt: skip
"""Our name for a hyperparameter where a framework has another; `rho` is gamma but in Adadelta."""


@dataclass(frozen=True)
class Version:
    """One framework's version of an algorithm.

    Attributes:
        framework: whose it is.
        call: its name and the arguments that matter, with defaults; those that have none must be given.
        epsilon: where ε stands.
        rule: the rule here that it equals, or comes closest to.
        remark: what else is to be known; where it is not `exact`, what differs.
        exact: whether it takes that rule's steps.
        fixed: hyperparameters of the rule that it does not offer, at the values that it has.
    """

    framework: str
    call: str
    epsilon: str
    rule: str
    remark: str = ""
    exact: bool = True
    fixed: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What stands before the parenthesis."""
        return self.call.partition("(")[0]

    @property
    def defaults(self) -> dict[str, Any]:
        """Its arguments with their defaults, in its own words; None for those that must be given."""
        call = ast.parse(self.call, mode="eval").body
        assert isinstance(call, ast.Call)
        required = {ast.unparse(argument): None for argument in call.args}
        return required | {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}

    @property
    def settings(self) -> dict[str, float]:
        """The hyperparameters of our rule that make it this version at its defaults, less those that it has not."""
        found = dict(self.fixed)
        for name, value in self.defaults.items():
            own = _SPELLING.get(name, name)
            if own == "rho" and own not in named[self.rule].hyperparameters:
                own = "gamma"
            pairs = zip(("beta1", "beta2"), value, strict=True) if own == "betas" else [(own, value)]
            found |= {key: x for key, x in pairs if key in named[self.rule].hyperparameters and x is not None}
        return found

    @property
    def source(self) -> str:
        """The address of its documentation."""
        last = self.name.rpartition(".")[2]
        chapter = "adam" if self.name == "yogi" else self.name  # Yogi is in Adam's section
        return _SOURCES[self.framework].format(name=self.name, last=last, chapter=chapter)

    @property
    def known(self) -> str:
        """Where its facts come from."""
        return "its text" if self.framework == _TAB else "tests against the package"


_SOURCES = {
    "PyTorch": "https://docs.pytorch.org/docs/stable/generated/{name}.html",
    "optax": "https://optax.readthedocs.io/en/latest/api/optimizers.html#{name}",
    "Keras": "https://www.tensorflow.org/api_docs/python/tf/keras/optimizers/{last}",
    "D2L's TensorFlow tab": "https://d2l.ai/chapter_optimization/{chapter}.html",
    "Paddle": "https://paddlepaddle.org.cn/documentation/docs/en/api/paddle/optimizer/{last}_en.html",
    "MXNet": "https://mxnet.apache.org/versions/1.6/api/python/docs/api/optimizer/index.html",
}
FRAMEWORKS = tuple(_SOURCES)
_TORCH, _OPTAX, _KERAS, _TAB, _PADDLE, _MXNET = FRAMEWORKS

VERSIONS: dict[str, tuple[Version, ...]] = {
    "descent": (
        Version(_TORCH, "torch.optim.SGD(lr=0.001, momentum=0, dampening=0)", "", "momentum",
                "dampening begins at the second step: `momentum_dampened`"),
        Version(_OPTAX, "optax.sgd(learning_rate, momentum=None)", "", "momentum"),
        Version(_KERAS, "keras.optimizers.SGD(learning_rate=0.01, momentum=0.0)", "", "momentum_rate_inside",
                RATE_IN_VELOCITY),
        Version(_TAB, "momentum(lr=0.02, momentum=0.5)", "", "momentum"),
        Version(_PADDLE, "paddle.optimizer.Momentum(learning_rate=0.001, momentum=0.9)", "", "momentum"),
        Version(_MXNET, "mxnet.optimizer.SGD(learning_rate=0.01, momentum=0.0)", "", "momentum_rate_inside",
                RATE_IN_VELOCITY),
    ),
    "adagrad": (
        Version(_TORCH, "torch.optim.Adagrad(lr=0.01, lr_decay=0, initial_accumulator_value=0, eps=1e-10)", BESIDE,
                "adagrad", "with `lr_decay`: `adagrad_decayed`"),
        Version(_OPTAX, "optax.adagrad(learning_rate, initial_accumulator_value=0.1, eps=1e-7)", UNDER,
                "adagrad_eps_inside"),
        Version(_KERAS, "keras.optimizers.Adagrad(learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-7)",
                UNDER, "adagrad_eps_inside"),
        Version(_TAB, "adagrad(lr=0.1, eps=1e-6)", UNDER, "adagrad_eps_inside"),
        Version(_PADDLE, "paddle.optimizer.Adagrad(learning_rate, epsilon=1e-6, initial_accumulator_value=0.0)",
                BESIDE, "adagrad"),
        Version(_MXNET, "mxnet.optimizer.AdaGrad(learning_rate=0.01, eps=1e-7)", UNDER, "adagrad_eps_inside",
                "release 2 moves ε beside the root"),
    ),
    "rmsprop": (
        Version(_TORCH, "torch.optim.RMSprop(lr=0.01, alpha=0.99, eps=1e-8, momentum=0, centered=False)", BESIDE,
                "rmsprop", "γ is .99, not .9; the rate stands outside the velocity"),
        Version(_OPTAX, "optax.rmsprop(learning_rate, decay=0.9, eps=1e-8, eps_in_sqrt=True)", UNDER,
                "rmsprop_eps_inside", "`eps_in_sqrt=False`: `rmsprop`"),
        Version(_KERAS, "keras.optimizers.RMSprop(learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7)", UNDER,
                "rmsprop_eps_inside", "under the root with momentum and when centered, too"),
        Version(_TAB, "rmsprop(lr=0.01, gamma=0.9, eps=1e-6)", UNDER, "rmsprop_eps_inside"),
        Version(_PADDLE, "paddle.optimizer.RMSProp(learning_rate, rho=0.95, epsilon=1e-6, momentum=0.0)", UNDER,
                "rmsprop_eps_inside"),
        Version(_MXNET, "mxnet.optimizer.RMSProp(learning_rate=0.001, gamma1=0.9, epsilon=1e-8)", UNDER,
                "rmsprop_eps_inside", "momentum, `gamma2`, only when centered"),
    ),
    "adadelta": (
        Version(_TORCH, "torch.optim.Adadelta(lr=1.0, rho=0.9, eps=1e-6)", UNDER, "adadelta"),
        Version(_OPTAX, "optax.adadelta(learning_rate=None, rho=0.9, eps=1e-6)", UNDER, "adadelta",
                "with no rate it does not turn the sign: its updates climb"),
        Version(_KERAS, "keras.optimizers.Adadelta(learning_rate=0.001, rho=0.95, epsilon=1e-7)", UNDER, "adadelta",
                "the paper's rate is 1"),
        Version(_TAB, "adadelta(rho=0.9, eps=1e-5)", UNDER, "adadelta", fixed={"lr": 1.0}),
        Version(_PADDLE, "paddle.optimizer.Adadelta(learning_rate=0.001, epsilon=1e-6, rho=0.95)", UNDER, "adadelta",
                "the documented formula does not use the rate; the optimizer does"),
        Version(_MXNET, "mxnet.optimizer.AdaDelta(rho=0.9, epsilon=1e-5)", UNDER, "adadelta", fixed={"lr": 1.0}),
    ),
    "adam": (
        Version(_TORCH, "torch.optim.Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-8)", BESIDE, "adam"),
        Version(_OPTAX, "optax.adam(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0)", BESIDE, "adam"),
        Version(_KERAS, "keras.optimizers.Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7)", HAT,
                "adam_eps_hat", HAT_REMARK),
        Version(_TAB, "adam(lr=0.01, beta1=0.9, beta2=0.999, eps=1e-6)", ADDED, "adam", NO_PARENTHESIS, exact=False),
        Version(_PADDLE, "paddle.optimizer.Adam(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8)", BESIDE,
                "adam", "the documented formula has ε̂; the optimizer multiplies it by √(1-β₂ᵗ), which is ours"),
        Version(_MXNET, "mxnet.optimizer.Adam(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8)", HAT,
                "adam_eps_hat", HAT_REMARK),
    ),
    "adamw": (
        Version(_TORCH, "torch.optim.AdamW(lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)", BESIDE,
                "adamw"),
        Version(_OPTAX, "optax.adamw(learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0001)", BESIDE, "adamw"),
        Version(_KERAS, "keras.optimizers.AdamW(learning_rate=0.001, weight_decay=0.004, epsilon=1e-7)", HAT, "adamw",
                HAT_REMARK, exact=False),
        Version(_PADDLE, "paddle.optimizer.AdamW(learning_rate=0.001, epsilon=1e-8, weight_decay=0.01)", BESIDE,
                "adamw", "in the documented formula the decay takes the bias-corrected rate; in the optimizer it does "
                "not"),
    ),
    "adamax": (
        Version(_TORCH, "torch.optim.Adamax(lr=0.002, betas=(0.9, 0.999), eps=1e-8)", "added to |g|", "adamax"),
        Version(_OPTAX, "optax.adamax(learning_rate, b1=0.9, b2=0.999, eps=1e-8)", "added to |g|", "adamax"),
        Version(_KERAS, "keras.optimizers.Adamax(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7)",
                "added to u", "adamax_eps_outside", "ε is not part of the maximum"),
        Version(_PADDLE, "paddle.optimizer.Adamax(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8)",
                "added to β₂u", "adamax_eps_old", "ε joins the old maximum, not |g|"),
        Version(_MXNET, "mxnet.optimizer.Adamax(learning_rate=0.002, beta1=0.9, beta2=0.999)", "none", "adamax",
                "0/0 where no gradient has come yet", fixed={"eps": 0.0}),
    ),
    "nadam": (
        Version(_TORCH, "torch.optim.NAdam(lr=0.002, betas=(0.9, 0.999), eps=1e-8, momentum_decay=0.004)", BESIDE,
                "nadam"),
        Version(_OPTAX, "optax.nadam(learning_rate, b1=0.9, b2=0.999, eps=1e-8)", BESIDE, "nadam",
                "its momentum does not warm up: the limit of a large `momentum_decay`", fixed={"momentum_decay": 1e6}),
        Version(_KERAS, "keras.optimizers.Nadam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7)", BESIDE,
                "nadam", "since Keras 3 its momentum warms up 250 times as fast", fixed={"momentum_decay": 1.0}),
        Version(_PADDLE, "paddle.optimizer.NAdam(learning_rate=0.002, epsilon=1e-8, momentum_decay=0.004)", BESIDE,
                "nadam"),
        Version(_MXNET, "mxnet.optimizer.Nadam(learning_rate=0.001, epsilon=1e-8, schedule_decay=0.004)", BESIDE,
                "nadam", "one product of momenta for all parameters takes a factor at each: the same only for one",
                exact=False),
    ),
    "yogi": (
        Version(_OPTAX, "optax.yogi(learning_rate, b1=0.9, b2=0.999, eps=0.001)", BESIDE, "yogi",
                "the mean of gradients, too, starts at 1e-6", exact=False, fixed={"initial_accumulator": 1e-6}),
        Version(_TAB, "yogi(lr=0.01, beta1=0.9, beta2=0.999, eps=1e-6)", ADDED, "yogi", "a parenthesis is missing: "
                "see erratum 1; the other tabs have ε = 1e-3", exact=False),
    ),
    "lion": (
        Version(_OPTAX, "optax.lion(learning_rate, b1=0.9, b2=0.99, weight_decay=0.001)", "none", "lion"),
        Version(_KERAS, "keras.optimizers.Lion(learning_rate=0.001, beta_1=0.9, beta_2=0.99)", "none", "lion"),
    ),
}  # fmt: skip
"""By algorithm, named as the file of its rules; AdamW, which frameworks have apart, apart."""


def algorithm(rule: str) -> str | None:
    """The algorithm that a rule is a form of, None if no framework's version of it is in the table.

    >>> algorithm("rmsprop_centered"), algorithm("amsgradw"), algorithm("nesterov"), algorithm("radam")
    ('rmsprop', 'adamw', 'descent', None)
    """
    stem = named[rule].formula.__module__.rpartition(".")[2]
    if "weight_decay" in named[rule].hyperparameters and f"{stem}w" in VERSIONS:
        return f"{stem}w"
    return stem if stem in VERSIONS else None


def of(rule: str) -> tuple[Version, ...]:
    """The frameworks' versions of a rule's algorithm."""
    return VERSIONS.get(algorithm(rule) or "", ())


def missing(rule: str) -> list[str]:
    """The frameworks that are known to have no version of a rule's algorithm; D2L's tab is not a framework."""
    there = {version.framework for version in of(rule)}
    return [framework for framework in FRAMEWORKS if there and framework not in {*there, _TAB}]


def table(versions: tuple[Version, ...]) -> Table:
    """The versions as a table to show, with `code` and [words](address)."""
    rows = []
    for v in versions:
        same = f"`{v.rule}`" if v.exact else f"`{v.rule}`, not quite"
        if v.fixed:
            same += " with " + ", ".join(f"`{name}={value:g}`" for name, value in v.fixed.items())
        rows.append([v.framework, f"`{v.call}`", v.epsilon or "—", same, v.remark, f"[{v.known}]({v.source})"])
    return Table(COLUMNS, rows)
