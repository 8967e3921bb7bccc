"""What the processes that hold shares of parameters settle together in a step."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

Slot = tuple[int, float]  # a parameter's mesh, by number, and the part of its squares that counts on each process


class Agreement:
    """What the processes of the meshes settle in a step: sums over all shares, and whether any of them objects.

    One message for a mesh that has all processes; for another, one for each of its axes.
    """

    def __init__(self, params: Iterable[Any]):
        self.meshes: list[Any] = []
        for p in params:
            if p.device_mesh not in self.meshes:
                self.meshes.append(p.device_mesh)
        for mesh in self.meshes:
            if mesh.get_coordinate() is None:
                raise ValueError(f"a parameter lies on {mesh}, of which rank {torch.distributed.get_rank()} is no part")

    def slot(self, p: Any) -> Slot:
        """The mesh of a parameter, and the part of its squares that counts: replicas count once together."""
        sizes = zip(p.placements, p.device_mesh.shape, strict=True)
        copies = 1
        for placement, size in sizes:
            copies *= size if placement.is_replicate() else 1
        return self.meshes.index(p.device_mesh), 1.0 / copies

    @torch.no_grad()
    def settle(self, sums: Mapping[Slot | None, float], *objections: bool) -> tuple[float, list[bool]]:
        """The sum over all elements of all parameters, and whether any process has each of the objections."""
        count = len(self.meshes)
        numbers = [0.0] * count
        for slot, value in sums.items():
            if slot is not None:
                numbers[slot[0]] += slot[1] * value
        numbers += [float(objection) for objection in objections]
        for k, mesh in enumerate(self.meshes):
            told = torch.tensor([numbers[k], *numbers[count:]], dtype=torch.float64, device=mesh.device_type)
            for group in _groups(mesh):
                torch.distributed.all_reduce(told, group=group)
            numbers[k], *numbers[count:] = told.tolist()
        return sum(numbers[:count]) + sums.get(None, 0.0), [number > 0 for number in numbers[count:]]


def _groups(mesh: Any) -> list[Any]:
    """The process groups over which a sum runs through the mesh."""
    if mesh.size() == torch.distributed.get_world_size() > 1:
        return [None]  # that of all processes
    return [group for group, size in zip(mesh.get_all_groups(), mesh.shape, strict=True) if size > 1]
