"""Mean and deviation of each latent channel, with which a codec's latents are normalised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harmony_lit.errors import UserError


@dataclass(frozen=True)
class LatentStatistics:
    """Statistics of each of C channels.

    Args:
        mean: C means.
        std: C standard deviations, above zero.

    Raises:
        UserError: If the two differ in length, or a deviation is not above zero.
    """

    mean: list[float]
    std: list[float]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise UserError(f"latent statistics need a std for every mean, not {len(self.std)} for {len(self.mean)}")
        if not all(std > 0 for std in self.std):
            raise UserError("latent statistics: every std must be above zero")

    def check_channels(self, channels: int) -> None:
        """Raises a ``UserError`` if these are not the statistics of so many channels."""
        if len(self.mean) != channels:
            raise UserError(f"latent statistics of {len(self.mean)} channels do not fit a codec of {channels}")

    def normalise(self, latents: Tensor) -> Tensor:
        """(B, C, ...) as a network gives them -> of about zero mean and unit variance, float32."""
        return (latents.float() - self._channels(self.mean, latents)) / self._channels(self.std, latents)

    def restore(self, latents: Tensor) -> Tensor:
        """The inverse of ``normalise``."""
        return latents.float() * self._channels(self.std, latents) + self._channels(self.mean, latents)

    @staticmethod
    def _channels(values: list[float], latents: Tensor) -> Tensor:
        return torch.tensor(values, device=latents.device).view(-1, *[1] * (latents.dim() - 2))
