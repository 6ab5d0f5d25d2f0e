"""Muon on the matrices of the blocks, AdamW on everything else, as one optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class MuonAdamW(torch.optim.Optimizer):
    """``torch.optim.Muon`` for hidden matrices and ``torch.optim.AdamW`` for the rest, behind one interface.

    Schedulers, checkpoints and Lightning's automatic optimisation see a single optimiser. Embeddings, heads, norms,
    biases and modulations are not hidden matrices: they go to AdamW.

    Args:
        params: Named parameters (name, tensor); names decide who is a hidden matrix.
        lr: Learning rate of Muon.
        adamw_lr: Learning rate of AdamW.
        momentum: Momentum of Muon.
        weight_decay: Decoupled weight decay of both.
        betas: Betas of AdamW.
        matrices: A two-dimensional parameter belongs to Muon if one of these is part of its name.
        exclude: ... unless one of these is.
    """

    def __init__(
        self,
        params: Iterable[tuple[str, nn.Parameter]],
        *,
        lr: float = 0.01,
        adamw_lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.95),
        matrices: tuple[str, ...] = (".blocks.", ".layers."),
        exclude: tuple[str, ...] = (".modulation", ".transcript."),
    ) -> None:
        hidden: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in params:
            chosen = any(part in f".{name}" for part in matrices) and not any(part in f".{name}" for part in exclude)
            (hidden if parameter.ndim == 2 and chosen else others).append(parameter)
        if not hidden:
            raise ValueError("optimizer: no trained parameter is a matrix of a block; use AdamW instead of MuonAdamW")
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                hidden, lr=lr, momentum=momentum, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
            )
        ]
        if others:
            self._parts.append(
                torch.optim.AdamW(others, lr=adamw_lr, betas=betas, weight_decay=weight_decay, foreach=True)
            )
        super().__init__([{"params": [*hidden, *others]}], {"lr": lr})
        # The groups are the parts' own dicts, so that a scheduler's change of lr reaches them.
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears all gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """States of both parts."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores both parts; the groups stay shared with the schedulers."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @property
    def tensors(self) -> list[Tensor]:
        """All parameters, Muon's first."""
        return [p for group in self.param_groups for p in group["params"]]
