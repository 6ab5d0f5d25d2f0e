"""Flow solvers, from diffusers, behind the two things that sampling needs: the sigmas and one step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from torch import Tensor


class SolverRun:
    """One trajectory of one modality.

    Attributes:
        sigmas: ``steps + 1`` values from 1 down to 0; step i goes from ``sigmas[i]`` to ``sigmas[i + 1]``.
    """

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self.sigmas: list[float] = [float(sigma) for sigma in scheduler.sigmas]

    def step(self, index: int, velocity: Tensor, x: Tensor) -> Tensor:
        """x at the next sigma, in fp32."""
        timestep = self._scheduler.timesteps[index]
        result: Tensor = self._scheduler.step(velocity.float(), timestep, x.float(), return_dict=False)[0]
        return result


class Solver(ABC):
    """Starts trajectories."""

    @abstractmethod
    def start(self, steps: int, shift: float) -> SolverRun:
        """A trajectory of ``steps`` steps under the time shift."""


class FlowEuler(Solver):
    """Euler's method (``diffusers.FlowMatchEulerDiscreteScheduler``)."""

    def start(self, steps: int, shift: float) -> SolverRun:
        """See ``Solver``."""
        from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

        scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        # Explicit sigmas: by itself the scheduler shifts its smallest sigma twice.
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps).tolist())
        return SolverRun(scheduler)


class FlowUniPC(Solver):
    """UniPC for flows (``diffusers.UniPCMultistepScheduler``), what Wan2.2 samples with.

    Args:
        order: Order of the solver, 1 to 3.
    """

    def __init__(self, order: int = 2) -> None:
        self.order = order

    def start(self, steps: int, shift: float) -> SolverRun:
        """See ``Solver``."""
        from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

        scheduler = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, solver_order=self.order
        )
        scheduler.set_timesteps(steps)
        return SolverRun(scheduler)
