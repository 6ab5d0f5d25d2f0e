"""Fits of one small network: AdamW on one cycle, and a weights file at the end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from harmony_lit.codecs.files import save_weights
from harmony_lit.errors import UserError


class NetworkModule(L.LightningModule):
    """Base: trains a network of its own and exports it with its settings.

    Args:
        network: What to train.
        settings: Its settings, stored beside the exported weights.
        export: Where to write the safetensors file when the fit ends.
        learning_rate: Peak of AdamW's learning rate; it rises for 5 % of the steps, then a cosine
            takes it to zero at ``trainer.max_steps``.
    """

    def __init__(self, network: nn.Module, settings: Mapping[str, Any], export: str, learning_rate: float) -> None:
        super().__init__()
        self.network: Any = network  # each subclass calls its own
        self.settings = settings
        self.export = export
        self.learning_rate = learning_rate

    @abstractmethod
    def training_loss(self, batch: Any) -> Tensor:
        """The loss of a batch in training."""

    @abstractmethod
    def validation_loss(self, batch: Any) -> Tensor:
        """The loss of a batch in validation."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Logs and returns the loss."""
        loss = self.training_loss(batch)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Logs the loss."""
        self.log("val/loss", self.validation_loss(batch), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW on one cycle.

        Raises:
            UserError: If the trainer has no ``max_steps``.
        """
        if self.trainer.max_steps < 1:
            raise UserError("trainer.max_steps: the learning rate falls to zero over a given number of steps")
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, self.learning_rate, betas=(0.9, 0.95), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            self.learning_rate,
            total_steps=self.trainer.max_steps,
            pct_start=0.05,
            cycle_momentum=False,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_fit_end(self) -> None:
        """Writes the weights file."""
        if self.trainer.is_global_zero:
            save_weights(self.export, self.network, self.settings)
