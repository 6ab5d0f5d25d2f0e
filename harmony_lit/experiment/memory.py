"""What a stage or sampling will need of memory, before it starts.

Weights, gradients, optimiser and moving average are counted to the byte from shapes and types alone; the optimiser
takes a step on the meta device, so that any of them is counted (AdamW keeps two values per parameter, Muon one).
Activations are an estimate, of what backward keeps with the fused attention kernel:

    bytes = item * sum over towers of layers * tokens * (18 D + 2 F)        without checkpointing
    bytes = item * sum over towers of (layers * tokens * D + tokens * (18 D + 2 F))    with every layer checkpointed
    bytes = item * max over towers of tokens * (6 D + 2 F)                  without gradients

with width D, feed-forward F and ``item`` 2 bytes under bf16, else 4. 18 D are the inputs of two modulated norms, of q,
k, v before and after their norms and rotation, of the attentions and their projections; 2 F are the feed-forward
before and after its activation. Not counted: what kernels use in passing, and the allocator's fragments (ten per cent).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from harmony_lit.encoders.cached import CachedTextEncoder
from harmony_lit.experiment.compose import Experiment
from harmony_lit.experiment.stage import as_lists
from harmony_lit.experiment.verify import build_on_meta
from harmony_lit.model import DualBranchDiT
from harmony_lit.system import System
from harmony_lit.training.module import HarmonyModule
from harmony_lit.training.precision import FP32

log = logging.getLogger(__name__)

GIB = 2**30


@dataclass(frozen=True)
class Need:
    """Bytes by what they are for.

    Attributes:
        title: What needs them.
        accelerator: Held there at the same time.
        elsewhere: Held on the CPU, or on the accelerator while the towers wait.
    """

    title: str
    accelerator: Mapping[str, int]
    elsewhere: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Bytes on the accelerator."""
        return sum(self.accelerator.values())

    def line(self) -> str:
        """All in one line."""
        parts = ", ".join(f"{name} {_gib(size)}" for name, size in self.accelerator.items() if size)
        beside = ", ".join(f"{name} {_gib(size)}" for name, size in self.elsewhere.items() if size)
        return f"memory: about {_gib(self.total)} GiB ({parts})" + (
            f"; not at the same time: {beside}" if beside else ""
        )


def training_need(experiment: Experiment, module: LightningModule, stage: str) -> Need:
    """What training a stage needs.

    Args:
        experiment: Says clip size, batch size, precision and callbacks.
        module: The stage's, adapters attached; may be on the meta device.
        stage: Its name.
    """
    settings = experiment.stages[stage]
    trainer = as_lists(settings.get("trainer") or {})
    precision = str(trainer.get("precision", "32-true"))
    weights = {name: _stored(name, tensor, precision) for name, tensor in _named(module)}
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    ema = next((node for node in trainer.get("callbacks") or [] if "EMA" in str(node.get("class_path"))), None)
    average = 0 if ema is None else 4 * sum(p.numel() for p in trained.values())
    away = ema is not None and (ema.get("init_args") or {}).get("device") == "cpu"
    rows = {
        "weights": sum(weights.values()),
        "gradients": sum(weights[name] for name in trained),
        "optimiser": _optimizer_bytes(module, precision) if trained else 0,
        "average": 0 if away else average,
    }
    network = getattr(module, "network", None)
    if isinstance(network, DualBranchDiT):
        data = (settings.get("data") or {}).get("init_args") or {}
        rows["activations"] = _activations(experiment, network, int(data.get("batch_size", 1)), precision, True)
    elsewhere = {"average on the CPU": average if away else 0, **_fixed_parts(module)}
    return Need(f"stage {stage}", rows, elsewhere)


def sampling_need(experiment: Experiment, module: LightningModule, stage: str, clips: int = 1) -> Need:
    """What sampling ``clips`` at once needs; guidance that asks the model several times does so one after the other."""
    trainer = experiment.stages[stage].get("trainer") or {}
    precision = str(trainer.get("precision", "32-true"))
    network = module.network
    assert isinstance(network, DualBranchDiT)
    every = {name: _stored(name, tensor, precision) for name, tensor in _named(network)}
    rows, elsewhere = {"weights": sum(every.values())}, _fixed_parts(module)
    if _sampling(experiment).get("offload"):
        layers = sum(size for name, size in every.items() if ".blocks." in name or ".layers." in name)
        at_work = min(layers, 2 * layers // network.depth)
        rows = {"weights at work": sum(every.values()) - layers + at_work}
        elsewhere = {"layers on the CPU": layers, **elsewhere}
    rows["activations"] = _activations(experiment, network, clips, precision, False)
    return Need("sampling", rows, elsewhere)


def needs(experiment: Experiment) -> list[Need]:
    """What each stage and sampling need, from a model on the meta device."""
    found = []
    for stage in experiment.stages:
        module = build_on_meta(experiment, stage)
        assert isinstance(module, LightningModule)
        plain = sampling_need(experiment, module, stage) if stage == list(experiment.stages)[-1] else None
        with torch.device("meta"):
            module.configure_model()
        found.append(training_need(experiment, module, stage))
        found += [plain] if plain else []
    return found


def table(found: list[Need]) -> str:
    """One row for each need, in GiB."""
    columns = list(dict.fromkeys(name for need in found for name in need.accelerator))
    lines = [["", *columns, "total GiB", "not at the same time"]]
    for need in found:
        cells = [_gib(need.accelerator[name]) if name in need.accelerator else "" for name in columns]
        beside = ", ".join(f"{name} {_gib(size)}" for name, size in need.elsewhere.items() if size)
        lines.append([need.title, *cells, _gib(need.total), beside])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    pad = [str.ljust, *[str.rjust] * (len(widths) - 2), str.ljust]
    return "\n".join("  ".join(p(c, w) for p, c, w in zip(pad, line, widths, strict=True)).rstrip() for line in lines)


def tell(need: Need, available: int | None = None) -> None:
    """Says what is needed, and warns if the accelerator has less.

    Args:
        need: What for.
        available: Bytes of the accelerator; by default those of this process's, if it has one.
    """
    log.info("%s", need.line())
    have = _accelerator_bytes() if available is None else available
    if have and need.total > have:
        log.warning(
            "%s needs about %s GiB and the accelerator has %s: see docs/low_memory.md for what makes it less",
            need.title, _gib(need.total), _gib(have),
        )  # fmt: skip


def _named(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _stored(name: str, tensor: Tensor, precision: str) -> int:
    """Bytes of a tensor as training stores it."""
    return tensor.numel() * _dtype(name, tensor, precision).itemsize


def _dtype(name: str, tensor: Tensor, precision: str) -> torch.dtype:
    rounded = precision == "bf16-true" and tensor.is_floating_point() and not FP32.search(name)
    return torch.bfloat16 if rounded else tensor.dtype


def _optimizer_bytes(module: LightningModule, precision: str) -> int:
    """Bytes that the optimiser keeps, from a step of it on the meta device."""
    if not isinstance(module, HarmonyModule):
        return 0
    named = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            shadow = nn.Parameter(torch.empty(parameter.shape, dtype=_dtype(name, parameter, precision), device="meta"))
            shadow.grad = torch.empty_like(shadow)
            named.append((name, shadow))
    optimizer = module.optimizer(named)
    optimizer.step()
    return _bytes_in(optimizer.state_dict())


def _bytes_in(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(_bytes_in, value.values()))
    return sum(map(_bytes_in, value)) if isinstance(value, list | tuple) else 0


def _activations(experiment: Experiment, network: DualBranchDiT, batch: int, precision: str, backward: bool) -> int:
    geometry, clip = network.dims.geometry, experiment.config.get("clip")
    if not clip:
        return 0
    rows, columns = geometry.token_grid(*geometry.latent_size(clip["height"], clip["width"]))
    tokens = {
        "video": batch * geometry.latent_frames(clip["frames"]) * rows * columns,
        "audio": batch * 2 * geometry.audio_latents(clip["frames"]),  # with a reference as long
    }
    item = 2 if "bf16" in precision else 4
    every = int(getattr(network, "checkpoint_blocks", 0))
    sizes = []
    for tower, count in tokens.items():
        module = network.get_submodule(tower)
        width = int(getattr(module, "width"))  # noqa: B009 (typed as a module)
        hidden = _hidden(module)
        if not backward:
            sizes.append(count * (6 * width + 2 * hidden))
            continue
        layer, kept = count * (18 * width + 2 * hidden), -(-network.depth // every) if every else 0
        sizes.append((network.depth - kept) * layer + (kept * count * width + layer if kept else 0))
    return item * (sum(sizes) if backward else max(sizes))


def _hidden(tower: nn.Module) -> int:
    """Width of the feed-forward."""
    return next(int(p.shape[0]) for name, p in tower.named_parameters() if ".ffn.0." in name and p.ndim == 2)


def _fixed_parts(module: nn.Module) -> dict[str, int]:
    """Codecs and text encoder, in the types that they are built in."""
    system = getattr(module, "system", None)
    if not isinstance(system, System):
        return {}
    found = {}
    for name in ("text_encoder", "video_codec", "audio_codec"):
        holder = getattr(system, name)
        holder = holder.encoder if isinstance(holder, CachedTextEncoder) else holder
        if hasattr(holder, "new_network"):
            with torch.device("meta"):
                network = holder.new_network()
            found[name.replace("_", " ")] = sum(tensor.nbytes for _, tensor in _named(network))
    return found


def _sampling(experiment: Experiment) -> Mapping[str, Any]:
    return (experiment.config.get("sampling") or {}).get("init_args") or {}


def _accelerator_bytes() -> int:
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None or accelerator.type != "cuda":
        return 0
    return int(torch.cuda.get_device_properties(accelerator).total_memory)


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}" if size < 10 * GIB else f"{size / GIB:.1f}"
