"""Muon on the matrices of the blocks, AdamW on everything else, as one optimiser.

Muon (Jordan et al. 2024) replaces the momentum of a matrix by its nearest orthogonal matrix, found by a
Newton-Schulz iteration: X <- a X + (b X X^T + c (X X^T)^2) X.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonalise(matrices: Tensor) -> Tensor:
    """About the nearest orthogonal matrices of a stack (N, rows, columns), in bfloat16."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class BatchedMuon(torch.optim.Optimizer):
    """``torch.optim.Muon`` (Nesterov momentum, update size matched to AdamW's) over stacks of equal shapes.

    The library's loop runs some twenty small kernels for every matrix, a fifth of a step of a small model on a CPU;
    here all matrices of one shape go through them at once.

    Args:
        params: Matrices.
        lr: Learning rate.
        momentum: Momentum.
        weight_decay: Decoupled weight decay.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            stacks: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    stacks.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in stacks.items():
                self._step(parameters, group, 0.2 * max(shape) ** 0.5)
        return loss

    def _step(self, parameters: list[Tensor], group: dict[str, Any], scale: float) -> None:
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        buffers = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(grads, buffers, group["momentum"])
        updates = orthogonalise(torch.stack(list(nesterov))).float()
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, list(updates.unbind()), alpha=-group["lr"] * scale)


class MuonAdamW(torch.optim.Optimizer):
    """``BatchedMuon`` for hidden matrices and ``torch.optim.AdamW`` for the rest, behind one interface.

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
            BatchedMuon(hidden, lr=lr, momentum=momentum, weight_decay=weight_decay)
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
