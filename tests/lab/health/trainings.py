"""Small real trainings in plain torch, each with one thing wrong with it, or nothing: what a doctor is tried on."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from stepwell.lab.health.doctor import Doctor

STEPS, ROWS = 240, 64
Loop = Callable[..., Doctor]
faults: dict[str, list[Loop]] = {}
healthy: list[Loop] = []


def digits(shuffled: bool = False) -> tuple[Tensor, Tensor]:
    pixels, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(labels)
    return x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(7))] if shuffled else y


def batches(x: Tensor, y: Tensor, steps: int = STEPS, rows: int = ROWS) -> Iterator[tuple[Tensor, Tensor]]:
    generator, made = torch.Generator().manual_seed(3), 0
    while True:
        for at in torch.randperm(len(x), generator=generator).split(rows):
            if made == steps:
                return
            made += 1
            yield x[at], y[at]


def perceptron(width: int = 64) -> Any:
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def convolutions() -> Any:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


class Transformer(nn.Module):
    """Rows of the image as a sequence; the layers are normalized after (Vaswani et al. 2017), or before."""

    def __init__(self, before: bool, layers: int = 4, width: int = 32):
        super().__init__()
        self.inputs, self.places = nn.Linear(8, width), nn.Parameter(torch.randn(8, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True, norm_first=before)
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.out = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.blocks(self.inputs(x.unflatten(1, (8, 8))) + self.places).mean(1))


def watched(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: tuple[Tensor, Tensor] | None = None,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    after: Callable[[int], object] = lambda k: None,
    clear: bool = True,
    clip: float | None = None,
    steps: int = STEPS,
    rows: int = ROWS,
    **options: Any,
) -> Doctor:
    """The loop that everybody writes."""
    with Doctor(optimizer, **options) as doctor:
        for k, (x, y) in enumerate(batches(*(data or digits()), steps, rows)):
            if clear:
                optimizer.zero_grad()
            loss(model(x), y).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            after(k)
    return doctor


def fault(name: str) -> Callable[[Loop], Loop]:
    def kept(loop: Loop) -> Loop:
        faults.setdefault(name, []).append(loop)
        return loop

    return kept


def well(loop: Loop) -> Loop:
    healthy.append(loop)
    return loop


@fault("rate_too_high")
def adam_a_hundredfold(**options: Any) -> Doctor:
    model = perceptron()
    return watched(model, torch.optim.Adam(model.parameters(), 0.3), **options)


@fault("rate_too_high")
def sgd_fiftyfold(**options: Any) -> Doctor:
    model = perceptron()
    return watched(model, torch.optim.SGD(model.parameters(), 10.0), **options)


@fault("rate_too_high")
def momentum_diverges(**options: Any) -> Doctor:
    model = nn.Sequential(nn.Linear(64, 1))
    x, y = digits()
    optimizer = torch.optim.SGD(model.parameters(), 0.5, momentum=0.9)
    return watched(model, optimizer, (x, y.float()[:, None]), loss=F.mse_loss, **options)


@fault("rate_too_high")
def convolutions_too_fast(**options: Any) -> Doctor:
    model = convolutions()
    return watched(model, torch.optim.AdamW(model.parameters(), 1.0), **options)


@fault("rate_too_low")
def adam_a_thousandth(**options: Any) -> Doctor:
    model = perceptron()
    return watched(model, torch.optim.Adam(model.parameters(), 3e-6), **options)


@fault("rate_too_low")
def sgd_a_thousandth(**options: Any) -> Doctor:
    model = convolutions()
    return watched(model, torch.optim.SGD(model.parameters(), 3e-5, momentum=0.9), **options)


@fault("rate_too_low")
def transformer_too_slow(**options: Any) -> Doctor:
    model = Transformer(before=True)
    return watched(model, torch.optim.AdamW(model.parameters(), 3e-6), **options)


@fault("dead_relu")
def relus_shifted_far_below(**options: Any) -> Doctor:
    model = perceptron()
    with torch.no_grad():
        model[0].bias.fill_(-10.0)
    return watched(model, torch.optim.Adam(model.parameters(), 1e-3), **options)


@fault("dead_relu")
def second_relu_of_a_network(**options: Any) -> Doctor:
    model = perceptron()
    with torch.no_grad():
        model[2].bias.fill_(-100.0)
    return watched(model, torch.optim.SGD(model.parameters(), 0.1), **options)


@fault("dead_relu")
def most_of_a_convolution(**options: Any) -> Doctor:
    model = convolutions()
    with torch.no_grad():
        model[5].bias[:15] = -20.0
    return watched(model, torch.optim.Adam(model.parameters(), 1e-3), **options)


@fault("frozen_layer")
def layer_without_gradient(**options: Any) -> Doctor:
    model = perceptron()
    model[2].requires_grad_(False)
    return watched(model, torch.optim.Adam(model.parameters(), 3e-3), **options)


@fault("frozen_layer")
def layer_behind_detach(**options: Any) -> Doctor:
    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach()

    model = perceptron()
    model.insert(2, Cut())
    return watched(model, torch.optim.Adam(model.parameters(), 3e-3), **options)


@fault("frozen_layer")
def layer_in_no_optimizer(**options: Any) -> Doctor:
    model = perceptron()
    kept = [p for name, p in model.named_parameters() if not name.startswith("2.")]
    return watched(model, torch.optim.Adam(kept, 3e-3), **options)


@fault("frozen_layer")
def group_at_rate_zero(**options: Any) -> Doctor:
    model = perceptron()
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2:].parameters()}]
    return watched(model, torch.optim.Adam(groups, 3e-3), **options)


@fault("frozen_layer")
def layer_multiplied_by_zero(**options: Any) -> Doctor:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.straight, self.gated = nn.Linear(64, 10), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.straight(x) + 0 * self.gated(x)

    model = Gated()
    return watched(model, torch.optim.Adam(model.parameters(), 3e-3), **options)


@fault("eps_too_large")
def adam_with_eps_one(**options: Any) -> Doctor:
    model = perceptron()
    return watched(model, torch.optim.Adam(model.parameters(), 3e-3, eps=1.0), **options)


@fault("eps_too_large")
def rmsprop_with_eps_a_tenth(**options: Any) -> Doctor:
    model = convolutions()
    return watched(model, torch.optim.RMSprop(model.parameters(), 1e-3, eps=0.1), **options)


@fault("forgotten_zero_grad")
def gradients_never_cleared(**options: Any) -> Doctor:
    model = perceptron()
    return watched(model, torch.optim.Adam(model.parameters(), 1e-3), clear=False, **options)


@fault("forgotten_zero_grad")
def never_cleared_with_momentum(**options: Any) -> Doctor:
    model = convolutions()
    return watched(model, torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9), clear=False, **options)


@fault("rate_too_high")
def convolutions_a_good_deal_too_fast(**options: Any) -> Doctor:
    model = convolutions()
    return watched(model, torch.optim.Adam(model.parameters(), 0.1), **options)


@fault("missing_warmup")
def transformer_normalized_after(**options: Any) -> Doctor:
    model = Transformer(before=False, layers=6, width=64)
    return watched(model, torch.optim.Adam(model.parameters(), 7e-3), **options)


@fault("missing_warmup")
def a_wider_one(**options: Any) -> Doctor:
    model = Transformer(before=False, layers=4, width=64)
    return watched(model, torch.optim.NAdam(model.parameters(), 7e-3), **options)


def recurrent(gain: float) -> nn.Module:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inputs, self.states, self.out = nn.Linear(8, 32), nn.Linear(32, 32, bias=False), nn.Linear(32, 10)
            with torch.no_grad():
                nn.init.orthogonal_(self.states.weight, gain)

        def forward(self, x: Tensor) -> Tensor:
            h = x.new_zeros(len(x), 32)
            for row in x.unflatten(1, (8, 8)).unbind(1) * 3:
                h = F.leaky_relu(self.inputs(row) + self.states(h), 0.5)
            return self.out(h)

    return Recurrent()


@fault("exploding_gradients")
def recurrent_weights_too_large(**options: Any) -> Doctor:
    model = recurrent(3.0)
    return watched(model, torch.optim.SGD(model.parameters(), 1e-3), **options)


@fault("exploding_gradients")
def deep_and_large(**options: Any) -> Doctor:
    layers = [layer for _ in range(20) for layer in (nn.Linear(32, 32), nn.ReLU())]
    model = nn.Sequential(nn.Linear(64, 32), *layers, nn.Linear(32, 10))
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight).mul_(2.0)
    return watched(model, torch.optim.Adam(model.parameters(), 1e-3), **options)


def _groups(model: nn.Module, decayed: Callable[[nn.Parameter], bool], decay: float) -> list[dict[str, Any]]:
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if decayed(p)], "weight_decay": decay},
        {"params": [p for p in parameters if not decayed(p)], "weight_decay": 0.0},
    ]


@fault("wrong_decay_group")
def biases_decay_and_weights_do_not(**options: Any) -> Doctor:
    model = Transformer(before=True)
    return watched(model, torch.optim.AdamW(_groups(model, lambda p: p.ndim < 2, 0.1), 1e-3), **options)


@fault("wrong_decay_group")
def norms_of_a_convolution_alone(**options: Any) -> Doctor:
    model = convolutions()
    optimizer = torch.optim.SGD(_groups(model, lambda p: p.ndim < 2, 0.01), 0.05, momentum=0.9)
    return watched(model, optimizer, **options)


@fault("wrong_decay_group")
def decay_that_rules(**options: Any) -> Doctor:
    model = perceptron()
    groups = [{"params": model[0].parameters(), "weight_decay": 30.0}, {"params": model[2:].parameters()}]
    return watched(model, torch.optim.AdamW(groups, 3e-3, weight_decay=0.01), **options)


@fault("nan_loss")
def logarithm_of_zero(**options: Any) -> Doctor:
    def entropy(output: Tensor, target: Tensor) -> Tensor:
        shares = F.relu(output).square() / F.relu(output).square().sum(1, keepdim=True)
        return -(F.one_hot(target, 10) * shares.log()).sum(1).mean()

    model = perceptron()
    return watched(model, torch.optim.Adam(model.parameters(), 1e-3), loss=entropy, **options)


@fault("nan_loss")
def a_row_that_is_nan(**options: Any) -> Doctor:
    x, y = digits()
    x[1000, 5] = math.nan
    model = perceptron()
    return watched(model, torch.optim.Adam(model.parameters(), 1e-3), (x, y), **options)


@fault("no_signal")
def labels_shuffled(**options: Any) -> Doctor:
    model = perceptron()
    return watched(model, torch.optim.Adam(model.parameters(), 1e-3), digits(shuffled=True), **options)


@fault("no_signal")
def labels_shuffled_convolutions(**options: Any) -> Doctor:
    model = convolutions()
    optimizer = torch.optim.SGD(model.parameters(), 0.03, momentum=0.9)
    return watched(model, optimizer, digits(shuffled=True), **options)


@fault("no_signal")
def labels_shuffled_transformer(**options: Any) -> Doctor:
    model = Transformer(before=True)
    return watched(model, torch.optim.AdamW(model.parameters(), 1e-3), digits(shuffled=True), **options)


@fault("scheduler_stepped_twice")
def cosine_at_double_pace(**options: Any) -> Doctor:
    model = perceptron()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    return watched(model, optimizer, after=lambda k: (scheduler.step(), scheduler.step()), **options)


@fault("scheduler_stepped_twice")
def epochs_at_double_pace(**options: Any) -> Doctor:
    model = perceptron()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5)

    def after(k: int) -> None:
        if k % 28 == 27:
            scheduler.step()
            scheduler.step()

    return watched(model, optimizer, after=after, **options)


@well
def perceptron_with_adam(**options: Any) -> Doctor:
    model = perceptron()
    return watched(model, torch.optim.Adam(model.parameters(), 1e-3), **options)


@well
def perceptron_with_sgd(**options: Any) -> Doctor:
    model = perceptron()
    return watched(model, torch.optim.SGD(model.parameters(), 0.1), **options)


@well
def convolutions_with_momentum_and_cosine(**options: Any) -> Doctor:
    model = convolutions()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    return watched(model, optimizer, after=lambda k: scheduler.step(), **options)


@well
def transformer_with_warmup(**options: Any) -> Doctor:
    model = Transformer(before=True)
    optimizer = torch.optim.AdamW(_groups(model, lambda p: p.ndim > 1, 0.1), 2e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, STEPS + 1, pct_start=0.1)
    return watched(model, optimizer, after=lambda k: scheduler.step(), clip=1.0, **options)


@well
def regression_with_rmsprop(**options: Any) -> Doctor:
    x, y = digits()
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 1))
    target = ((y.float() - 4.5) / 2.87)[:, None]
    return watched(model, torch.optim.RMSprop(model.parameters(), 1e-3), (x, target), loss=F.mse_loss, **options)


@well
def linear_with_adagrad(**options: Any) -> Doctor:
    model = nn.Linear(64, 10)
    return watched(model, torch.optim.Adagrad(model.parameters(), 0.1), **options)


@well
def fine_tuned_head(**options: Any) -> Doctor:
    model = convolutions()
    model[:6].requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    return watched(model, torch.optim.AdamW(trained, 3e-3), **options)


@well
def all_rows_at_once(**options: Any) -> Doctor:
    model = perceptron(32)
    x, y = digits()
    return watched(model, torch.optim.SGD(model.parameters(), 0.5), (x[:500], y[:500]), rows=500, **options)


@well
def a_rule_of_this_library(**options: Any) -> Doctor:
    from stepwell.torch import Adam

    model = perceptron()
    return watched(model, Adam(model.parameters(), 3e-3, clip_norm=1.0), **options)


@well
def lion_on_convolutions(**options: Any) -> Doctor:
    from stepwell import rules
    from stepwell.torch import from_rule

    model = convolutions()
    return watched(model, from_rule(rules.lion)(model.parameters(), lr=3e-4), **options)


@well
def gradients_accumulated_on_purpose(**options: Any) -> Doctor:
    model = perceptron()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    with Doctor(optimizer, **options) as doctor:
        for k, (x, y) in enumerate(batches(*digits(), 2 * STEPS, 32)):
            (F.cross_entropy(model(x), y) / 2).backward()
            if k % 2:
                optimizer.step()
                optimizer.zero_grad(set_to_none=False)
    return doctor


@well
def scheduler_each_epoch(**options: Any) -> Doctor:
    model = perceptron()
    optimizer = torch.optim.NAdam(model.parameters(), 2e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    return watched(model, optimizer, after=lambda k: scheduler.step() if k % 28 == 27 else None, **options)


@well
def recurrent_and_clipped(**options: Any) -> Doctor:
    model = recurrent(1.0)
    return watched(model, torch.optim.Adam(model.parameters(), 2e-3), clip=1.0, **options)
