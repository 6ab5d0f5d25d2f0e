"""umT5-XXL, the caption encoder of Wan 2.2, Ovi and Harmony, through transformers.

Shape legend: B captions, L tokens, D embedding width.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from harmony_lit.containers import TextEmbeds, TokenIds
from harmony_lit.errors import UserError
from harmony_lit.placement import at_work, resolve_device
from harmony_lit.pretrained.layout import Layout
from harmony_lit.pretrained.layouts import detect
from harmony_lit.pretrained.load import load_pretrained
from harmony_lit.pretrained.source import WeightSource, open_weights
from harmony_lit.pretrained.umt5 import UMT5_ORIGINAL, UMT5_TRANSFORMERS

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import UMT5EncoderModel

_PUBLISHER = "Wan-AI/Wan2.2-TI2V-5B on Hugging Face"
_GET_WEIGHTS = (
    f"get models_t5_umt5-xxl-enc-bf16.pth (11.4 GB) of {_PUBLISHER} and set text_encoder.init_args.weights to it"
)
_SAMPLE = 1024
_END, _PAD = "</s>", "<pad>"


@dataclass(frozen=True)
class UMT5Size:
    """Dimensions of the encoder. The defaults are umT5-XXL's: 5.68 billion weights, 11.4 GB in bfloat16.

    Args:
        vocab_size: Rows of the token embedding.
        dim: Width D.
        heads: Attention heads.
        head_dim: Width of a head.
        ffn_width: Width of the gated feed-forward.
        layers: Blocks.
    """

    vocab_size: int = 256_384
    dim: int = 4096
    heads: int = 64
    head_dim: int = 64
    ffn_width: int = 10_240
    layers: int = 24

    def build(self) -> UMT5EncoderModel:
        """The network without weights, on the meta device."""
        from transformers import UMT5Config, UMT5EncoderModel

        config = UMT5Config(
            vocab_size=self.vocab_size,
            d_model=self.dim,
            num_heads=self.heads,
            d_kv=self.head_dim,
            d_ff=self.ffn_width,
            num_layers=self.layers,
            feed_forward_proj="gated-gelu",
        )
        with torch.device("meta"):
            return UMT5EncoderModel(config).eval().requires_grad_(False)


class UMT5TextEncoder:
    """Captions to umT5's last hidden states, just as Wan reads them.

    Nothing is read from disk before the first caption (the fingerprint reads a little of each weight). Captions are
    cleaned as Wan cleans them (``clean_caption``) and padded to the longest of a call; what a caption's tokens become
    does not depend on the padding. Wan's transformer, though, sees captions behind which zeros fill up 512 tokens:
    that is the tower's affair.

    Args:
        weights: ``models_t5_umt5-xxl-enc-bf16.pth`` as Wan publishes it, or a safetensors file, folder or index of
            ``transformers.UMT5EncoderModel`` (``text_encoder/`` of Wan-AI/Wan2.2-TI2V-5B-Diffusers).
        tokenizer: ``tokenizer.json``, or the folder that holds it (``google/umt5-xxl/`` of the same repository).
        max_tokens: Most tokens of a caption, the end token included; longer captions are cut. Wan's is 512.
        precision: Of weights and computation; ``bf16`` is Wan's. There is no fp16: T5 overflows it.
        device: Where the network runs; null is the accelerator, or the CPU where there is none.
        offload: What ``release`` does: ``keep`` nothing, ``cpu`` moves the network to main memory, ``free`` drops it,
            to be read from disk again when the next caption comes.
        batch_size: Captions that go through the network at once.
        fix_text: Whether ftfy mends captions first, as in Wan (``pip install harmony-lit[text]``).
        size: Dimensions of the network.

    Raises:
        ValueError: If ``max_tokens`` is below 2 or ``batch_size`` below 1.
    """

    def __init__(
        self,
        weights: str,
        tokenizer: str,
        max_tokens: int = 512,
        precision: Literal["fp32", "bf16"] = "bf16",
        device: str | None = None,
        offload: Literal["keep", "cpu", "free"] = "cpu",
        batch_size: int = 16,
        fix_text: bool = True,
        size: UMT5Size | None = None,
    ) -> None:
        if max_tokens < 2:
            raise ValueError(f"text_encoder.max_tokens must be at least 2 (a word and the end token), not {max_tokens}")
        if batch_size < 1:
            raise ValueError(f"text_encoder.batch_size must be at least 1, not {batch_size}")
        self.size = size or UMT5Size()
        self.dim, self.max_tokens = self.size.dim, max_tokens
        self.weights, self.tokenizer_path = Path(weights).expanduser(), Path(tokenizer).expanduser()
        self.precision, self.device = precision, device
        self.offload, self.batch_size, self.fix_text = offload, batch_size, fix_text
        self._model: UMT5EncoderModel | None = None
        self._tokenizer: Tokenizer | None = None
        self._fingerprint = ""

    @property
    def fingerprint(self) -> str:
        """Hex digest of settings, tokenizer and weights, the same for every layout of the weights' file.

        Of each weight the first and last numbers are read, not all 11 GB: that tells checkpoints apart, though it would
        not tell of a damaged file. The device, on which embeddings depend by rounding alone, does not count.
        """
        if not self._fingerprint:
            facts = {"class": type(self).__name__, "version": 1, "max_tokens": self.max_tokens}
            facts |= {"precision": self.precision, "fix_text": self.fix_text, "size": asdict(self.size)}
            digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
            digest.update(hashlib.sha256(self._tokenizer_file().read_bytes()).digest())
            source = open_weights(self._weights_file())
            names = {self._layout(source).rename(name): name for name in sorted(source.shapes)}
            for ours, published in sorted((ours, published) for ours, published in names.items() if ours):
                digest.update(f"{ours} {tuple(source.shapes[published])} {source.dtypes[published]}".encode())
                digest.update(_sample(source.read(published)))
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def tokenize(self, captions: Sequence[str]) -> TokenIds:
        """B captions -> cleaned, tokenised, closed with the end token: ids and mask (B, L)."""
        if not captions:
            return TokenIds(torch.zeros(0, 1, dtype=torch.long), torch.zeros(0, 1, dtype=torch.bool))
        encoded = self._ready_tokenizer().encode_batch([clean_caption(c, self.fix_text) for c in captions])
        ids, mask = torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded])
        return TokenIds(ids, mask.bool())

    @torch.no_grad()
    @torch.inference_mode(mode=False)  # weights that are read within the caller's could not be moved outside of it
    def encode(self, captions: Sequence[str]) -> TextEmbeds:
        """B strings -> float32 (B, L, D) on the CPU, zeros behind each caption's end, with its mask.

        Raises:
            UserError: If weights or tokenizer are missing or are not umT5's.
        """
        tokens = self.tokenize(captions)
        x = torch.zeros(*tokens.ids.shape, self.dim)
        if captions:
            with at_work(self._ready_model(), self.device, offload=False) as model:
                for start in range(0, len(captions), self.batch_size):
                    rows = slice(start, start + self.batch_size)
                    longest = int(tokens.mask[rows].sum(1).max())
                    ids, mask = (t[rows, :longest].to(model.device) for t in (tokens.ids, tokens.mask))
                    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
                    x[rows, :longest] = hidden.float().masked_fill(~mask[..., None], 0.0).cpu()
        return TextEmbeds(x, tokens.mask)

    def release(self) -> None:
        """Frees the device of the network, as ``offload`` says."""
        if self._model is None or self.offload == "keep":
            return
        self._model = self._model.cpu() if self.offload == "cpu" else None
        if resolve_device(self.device).type != "cpu":
            torch.accelerator.empty_cache()

    def new_network(self) -> UMT5EncoderModel:
        """The network without weights, on the meta device: what the weights must fill."""
        return self.size.build().to(torch.bfloat16 if self.precision == "bf16" else torch.float32)

    def _ready_model(self) -> UMT5EncoderModel:
        """The network; read from disk the first time, tensor by tensor onto its device."""
        if self._model is None:
            model = self.new_network()
            source = open_weights(self._weights_file())
            load_pretrained(model, source, self._layout(source), device=resolve_device(self.device))
            self._model = model
        return self._model

    def _ready_tokenizer(self) -> Tokenizer:
        """The published ``tokenizer.json`` as it is; transformers' class would rebuild it, each version in its way."""
        if self._tokenizer is None:
            from tokenizers import Tokenizer

            path = self._tokenizer_file()
            try:
                tokenizer = Tokenizer.from_file(str(path))
            except Exception as error:  # tokenizers raises no other class
                raise UserError(f"{path} is not a readable tokenizer: {error}") from error
            end, pad = tokenizer.token_to_id(_END), tokenizer.token_to_id(_PAD)
            if end is None or pad is None or tokenizer.get_vocab_size() > self.size.vocab_size:
                raise UserError(
                    f"{path} is not umT5's tokenizer: it has {tokenizer.get_vocab_size():,} tokens for an embedding of "
                    f"{self.size.vocab_size:,}, '{_END}' has id {end} and '{_PAD}' {pad}"
                )
            tokenizer.enable_truncation(self.max_tokens)
            tokenizer.enable_padding(pad_id=pad, pad_token=_PAD)
            if tokenizer.encode("").ids != [end]:
                raise UserError(f"{path} is not umT5's tokenizer: it does not close captions with '{_END}'")
            self._tokenizer = tokenizer
        return self._tokenizer

    def _layout(self, source: WeightSource) -> Layout:
        """Which of umT5's layouts the weights are in."""
        layout = detect(source)
        if layout.name not in (UMT5_ORIGINAL.name, UMT5_TRANSFORMERS.name):
            raise UserError(f"{source.path} holds {layout.name} ({layout.publisher}), not umT5: {_GET_WEIGHTS}")
        return layout

    def _tokenizer_file(self) -> Path:
        path = self.tokenizer_path
        path = path / "tokenizer.json" if path.is_dir() else path
        if not path.is_file():
            raise UserError(
                f"there is no umT5 tokenizer at {path}: get google/umt5-xxl/tokenizer.json of {_PUBLISHER} and set "
                "text_encoder.init_args.tokenizer to it"
            )
        return path

    def _weights_file(self) -> Path:
        if not self.weights.exists():
            raise UserError(f"there are no umT5 weights at {self.weights}: {_GET_WEIGHTS}")
        return self.weights


def _sample(weight: Tensor) -> bytes:
    """The first and the last numbers of a weight."""
    flat = weight.detach().flatten()
    return torch.cat([flat[:_SAMPLE], flat[-_SAMPLE:]]).view(torch.uint8).numpy().tobytes()


def clean_caption(caption: str, fix_text: bool = True) -> str:
    """A caption as Wan cleans it: mended by ftfy, HTML entities resolved (twice), runs of white space one space.

    ftfy mends mojibake and makes curly quotes, ligatures and full-width letters plain. Wan always has it; here
    ``fix_text`` says so, since a caption must not become other tokens because a package happens to be missing.

    Raises:
        UserError: If ``fix_text`` is set and ftfy is not installed.
    """
    if fix_text:
        try:
            import ftfy
        except ImportError:
            raise UserError(
                "captions are cleaned with ftfy, as in Wan, and it is not installed: pip install 'harmony-lit[text]', "
                "or set text_encoder.init_args.fix_text to false"
            ) from None
        caption = ftfy.fix_text(caption)
    return " ".join(html.unescape(html.unescape(caption)).split())
