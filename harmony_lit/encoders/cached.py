"""Caption embeddings kept on disk, around any caption encoder.

Shape legend: B captions, L tokens, D embedding width.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from harmony_lit.containers import TextEmbeds
from harmony_lit.encoders.base import TextEncoder
from harmony_lit.experiment.atomic import replacing

_SUFFIX = ".safetensors"
_STALE_S = 3600.0


class CachedTextEncoder:
    """Asks the encoder only for captions that no process has asked for before.

    An entry is a file ``FOLDER/ENCODER/AB/KEY.safetensors``: ENCODER the start of the encoder's fingerprint, KEY the
    digest of fingerprint and caption, AB its first letters. It holds ``x`` (L, D), in bfloat16 where that loses
    nothing, and the caption in its metadata. Entries are written whole or not at all, so that any number of processes
    may share a folder; a damaged one is told and made again. As the encoder builds itself when it is first asked, a run
    whose captions are all here never loads it.

    Args:
        encoder: What encodes new captions.
        folder: Where entries are kept; removing it, or any folder in it, is safe at any time.
        max_gb: About how many gigabytes the folder may hold, all encoders together; beyond, the oldest entries go.

    Raises:
        ValueError: If ``max_gb`` is not positive.
    """

    def __init__(self, encoder: TextEncoder, folder: str, max_gb: float = 50.0) -> None:
        if max_gb <= 0:
            raise ValueError(f"text_encoder.max_gb must be above 0, not {max_gb}")
        self.encoder = encoder
        self.folder = Path(folder).expanduser()
        self.max_gb = max_gb
        self.dim, self.max_tokens = encoder.dim, encoder.max_tokens
        self._bytes: int | None = None

    @property
    def fingerprint(self) -> str:
        """The encoder's own: embeddings are the same, cached or not."""
        return self.encoder.fingerprint

    def encode(self, captions: Sequence[str]) -> TextEmbeds:
        """B strings -> float32 (B, L, D), zeros behind each caption's end, with its mask."""
        found = {caption: self._read(caption) for caption in dict.fromkeys(captions)}
        missing = [caption for caption, x in found.items() if x is None]
        if missing:
            made = self.encoder.encode(missing)
            for caption, x, mask in zip(missing, made.x, made.mask, strict=True):
                found[caption] = x[mask]
                self._write(caption, x[mask])
        rows = [x for x in (found[caption] for caption in captions) if x is not None]
        return TextEmbeds.padded(rows, self.dim)

    def release(self) -> None:
        """Passed on to the encoder."""
        self.encoder.release()

    def path(self, caption: str) -> Path:
        """Where the entry of ``caption`` is, or would be."""
        key = self._key(caption)
        return self.folder / self.fingerprint[:16] / key[:2] / f"{key}{_SUFFIX}"

    def _key(self, caption: str) -> str:
        return hashlib.sha256(f"{self.fingerprint}\0{caption}".encode("utf-8", "surrogatepass")).hexdigest()

    def _read(self, caption: str) -> Tensor | None:
        """The stored embedding (L, D), or None if there is none or it is damaged."""
        path = self.path(caption)
        try:
            with safe_open(path, framework="pt") as file:
                facts, x = file.metadata() or {}, file.get_tensor("x")
            if facts.get("key") == self._key(caption) and facts.get("crc32") == _crc32(x):
                return x.float()
            reason = "it does not hold what was written"
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError) as error:
            reason = str(error)
        warnings.warn(f"cached caption {path} is damaged ({reason}); it is encoded again", stacklevel=3)
        return None

    def _write(self, caption: str, x: Tensor) -> None:
        """Stores an embedding (L, D)."""
        x = x.detach().cpu()
        short = x.bfloat16()
        x = (short if torch.equal(short.to(x.dtype), x) else x).contiguous()
        text = caption.encode("utf-8", "replace").decode()
        facts = {"key": self._key(caption), "crc32": _crc32(x), "caption": text}
        entry = safetensors.torch.save({"x": x}, facts)
        with replacing(self.path(caption)) as file:
            file.write(entry)
        self._bound(len(entry))

    def _bound(self, written: int) -> None:
        """Counts what is written; once the folder is too large, the oldest entries go until a tenth is free."""
        limit = self.max_gb * 1e9
        self._bytes = None if self._bytes is None else self._bytes + written
        if self._bytes is not None and self._bytes <= limit:
            return
        entries = sorted(self._entries())
        self._bytes = sum(size for _, size, _ in entries)
        if self._bytes > limit:
            for _, size, path in entries:
                if self._bytes <= 0.9 * limit:
                    break
                path.unlink(missing_ok=True)
                self._bytes -= size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Time of writing, bytes and path of every entry; what killed writers left half done is removed."""
        for path in self.folder.glob("*/*/*"):
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                if path.suffix == _SUFFIX:
                    yield facts.st_mtime, facts.st_size, path
                elif time.time() - facts.st_mtime > _STALE_S:
                    path.unlink()


def _crc32(x: Tensor) -> str:
    return f"{zlib.crc32(x.contiguous().view(torch.uint8).numpy().data):08x}"
