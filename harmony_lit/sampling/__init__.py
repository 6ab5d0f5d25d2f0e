"""Sampling: solver, sampler, prompts and clips."""

from harmony_lit.sampling.generate import decode, generate
from harmony_lit.sampling.prompt import Prompt, build_request
from harmony_lit.sampling.sampler import Sampler, SampleRequest
from harmony_lit.sampling.solver import FlowEuler, FlowUniPC, Solver

__all__ = [
    "FlowEuler",
    "FlowUniPC",
    "Prompt",
    "SampleRequest",
    "Sampler",
    "Solver",
    "build_request",
    "decode",
    "generate",
]
