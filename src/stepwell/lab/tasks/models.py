"""Models that are more than a row of torch's layers; this file alone imports torch when it is itself imported."""

import math

import torch
from torch import Tensor, nn


class Transformer(nn.Module):
    """A decoder: what comes next at each place, from the places up to it (Vaswani et al. 2017).

    From tokens (rows, places) to logits (rows, places, symbols). The layers are normalized before (Xiong et al. 2020),
    the places learnt. <https://arxiv.org/abs/1706.03762>, <https://arxiv.org/abs/2002.04745>
    """

    def __init__(self, symbols: int, places: int, width: int, heads: int, layers: int):
        super().__init__()
        self.tokens = nn.Embedding(symbols, width)
        self.places = nn.Embedding(places, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, symbols))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the token after each."""
        places = torch.arange(tokens.shape[-1], device=tokens.device)
        return self.out(self.blocks(self.tokens(tokens) + self.places(places)))


class Block(nn.Module):
    """A layer of a transformer: attention, then a perceptron, each added to what it reads."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, (rows, places, width)."""
        x = x + self.attention(x)
        return x + self.perceptron(x)


class Attention(nn.Module):
    """softmax(qkᵀ/√d + mask)·v in each head, where no place sees a later one.

    It is written out since `torch.func.vmap` has no rule for `scaled_dot_product_attention` on the CPU (torch 2.13).
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, (rows, places, width)."""
        each = self.queries_keys_values(x).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = each.transpose(-4, -2).unbind(-3)  # each (rows, heads, places, width of a head)
        mask = x.new_full((x.shape[-2], x.shape[-2]), -math.inf).triu(1)  # zero where a place sees, so no later one
        scores = queries @ keys.mT / math.sqrt(queries.shape[-1]) + mask
        seen = scores.softmax(-1) @ values
        return self.out(seen.transpose(-3, -2).flatten(-2))
