"""The processes that share a run, and what they agree on."""

import os

import torch
import torch.distributed as dist


class Processes:
    """Those that `torchrun` started, or this one alone; each has a device."""

    def __init__(self, device: str | None):
        """Takes the device's name; by default a GPU if there is one."""
        name = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.count, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        self.device = torch.device(name, int(os.environ.get("LOCAL_RANK", 0))) if name == "cuda" else torch.device(name)

    def __enter__(self) -> "Processes":
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.count > 1:
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        return self

    def __exit__(self, *_: object) -> None:
        if self.count > 1:
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this one prints and saves."""
        return self.rank == 0

    def sum(self, count: torch.Tensor) -> int:
        """The sum of every process's count."""
        if self.count > 1:
            dist.all_reduce(count)
        return int(count.item())

    def mean(self, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The mean of each value over all processes, which have the same ones."""
        if self.count == 1:
            return values
        shared = torch.stack(list(values.values())) / self.count
        dist.all_reduce(shared)
        return dict(zip(values, shared, strict=True))

    def agreed(self, value: float) -> float:
        """The first process's value: clocks differ, and all must take the same steps."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return shared.item()
