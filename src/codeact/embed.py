"""Text -> float32 embedding of unit length, with any sentence-transformers model."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codeact.amounts import check_whole
from codeact.config import DEFAULTS
from codeact.downloads import allow_long_texts, check_loaded, quiet_loading
from codeact.errors import CodeactError, InputError
from codeact.lm.devices import choose_device
from codeact.lm.identity import NO_CODE, check_hub, hub_name, resolve_embedder, unreadable
from codeact.lm.prompts import NO_WORDS, has_words
from codeact.lm.sentence_encoder import UNUSED, SentenceEncoder, plain_folder
from codeact.progress import SILENT, Progress, Steady
from codeact.types import Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    Embedder = SentenceTransformer | SentenceEncoder

SYLLABLES = "\u2e80"  # from here on a letter is a syllable or a word
READ_CHARS = 1500  # 256 to 512 tokens


def load_embedder(name: str | PathLike[str], device: str = "auto", revision: str | None = None) -> SentenceTransformer:
    """Load a `SentenceTransformer` in float32 and eval mode.

    The files of a hub name that are in the local cache are used as they are; else the hub is asked.

    Args:
        name: sentence-transformers hub name, local folder, or `demo` (all-MiniLM-L6-v2 from the package index).
        device: auto, cpu, cuda, cuda:N, mps.
        revision: hub branch, tag or commit; None: the newest, or what the cache holds.

    Raises:
        InputError: the model does not exist or is no text embedder, the hub cannot be reached, or no such device.
        CodeactError: the demo embedder cannot be fetched.
    """
    name = fspath(name)
    where = resolve_embedder(name, revision)
    return _load_any(name, where, str(choose_device(device)), revision)


def open_embedder(name: str, device: str = "auto", revision: str | None = None) -> Embedder:
    """What `load_embedder` loads, for `embed_texts`: without importing sentence-transformers where its model is a plain one.

    Raises:
        InputError: as `load_embedder`.
        CodeactError: the demo embedder cannot be fetched.
    """
    where = resolve_embedder(name, revision)
    torch_device = str(choose_device(device))
    folder = plain_folder(where, revision)
    plain = None if folder is None else _load_plain(name, where, folder, torch_device)
    return plain or _load_any(name, where, torch_device, revision)


def _load_plain(name: str, where: str, folder: Path, device: str) -> SentenceEncoder | None:
    """None where the hub's copy in the cache lacks files, as after a download that was cut off: the library fetches them."""
    from safetensors import SafetensorError

    with quiet_loading():
        try:
            return SentenceEncoder(folder, device)
        except unreadable(SafetensorError) as error:
            if isinstance(error, OSError) and not Path(where).is_dir():
                return None
            raise InputError(_no_embedder(name, str(error))) from error


def _load_any(name: str, where: str, device: str, revision: str | None) -> SentenceTransformer:
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    with quiet_loading():
        try:
            try:
                model = SentenceTransformer(where, device=device, revision=revision, local_files_only=True, **NO_CODE)
            except OSError:
                if Path(where).is_dir():
                    raise
                check_hub(hub_name(name), revision, what="embedder")
                model = SentenceTransformer(where, device=device, revision=revision, **NO_CODE)
            _check(model)
        except unreadable(SafetensorError, TypeError) as error:  # the last: a part's config.json lacks a setting
            raise InputError(_no_embedder(name, str(error))) from error
    # A model published in half precision must give the same clusters on every device.
    return model.float().eval()


def _check(model: SentenceTransformer) -> None:
    """Refuse what the library loads without a word: a tokenizer without words, weights that its files lack.

    Raises:
        ValueError: there is such.
    """
    tokenizer, part = getattr(model, "tokenizer", None), getattr(model[0], "auto_model", None)
    if tokenizer is not None and not has_words(tokenizer):
        raise ValueError(NO_WORDS)
    if part is None or not getattr(part, "name_or_path", ""):
        return
    try:
        # on the device "meta" no weight is read
        _, info = type(part).from_pretrained(
            part.name_or_path, device_map="meta", output_loading_info=True, local_files_only=True, ignore_mismatched_sizes=True, **NO_CODE
        )
    except unreadable(TypeError):  # not from files of transformers, as ONNX: nothing is known
        return
    check_loaded(info, "text encoder", UNUSED)


def unread_share(texts: Sequence[str], name: str, revision: str | None = None) -> float | None:
    """How much of some texts an embedder's vocabulary does not hold: the share of their pieces that are unknown or a mere letter.

    A letter counts where it is of an alphabet other than English's (Cyrillic, Arabic, ...), not where it is a whole syllable or word, as
    in Chinese or Japanese: those are known or not.

    Args:
        texts: of the pool.
        name, revision: as for `load_embedder`; its tokenizer is read from this machine.

    Returns:
        From 0 to 1; None where the texts have no pieces, or the tokenizer cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        where = resolve_embedder(name, revision)
        with quiet_loading():
            tokenizer = allow_long_texts(AutoTokenizer.from_pretrained(where, revision=revision, local_files_only=True, **NO_CODE))
    except unreadable():
        return None
    pieces = [piece for text in texts for piece in tokenizer.tokenize(text[:READ_CHARS])]
    unread = sum(piece == tokenizer.unk_token or _is_letter(piece.removeprefix("##")) for piece in pieces)
    return unread / len(pieces) if pieces else None


def _is_letter(piece: str) -> bool:
    return len(piece) == 1 and "\x7f" < piece < SYLLABLES and piece.isalpha()


def embed_texts(
    texts: Sequence[str], *, model: str | PathLike[str] | Embedder, batch_size: int = DEFAULTS.embed.batch_size, device: str = "auto", progress: Progress = SILENT
) -> Vectors:
    """Embed texts; row i belongs to texts[i].

    A text longer than the model's `max_seq_length` tokens is cut there: its tail does not count. An empty text is
    embedded like any other. The batch size changes speed and memory, not the result (within 1e-5).

    Args:
        texts: N texts.
        model: a name as for `load_embedder`, or what it returned (a caller that works shard by shard loads once).
        batch_size: texts in one forward pass.
        device: used only when `model` is a name.
        progress: advanced by the number of texts done.

    Returns:
        float32 [N, D], each row of Euclidean length 1.

    Raises:
        InputError: as `load_embedder`, batch_size < 1, or something that is no text.
        CodeactError: the model gave a value that is not finite.
    """
    check_whole("embed.batch_size", batch_size)
    if isinstance(texts, str):
        raise InputError("the texts are a single text; give a list of texts: [text]")
    texts = list(texts)
    if (at := next((n for n, text in enumerate(texts) if not isinstance(text, str)), None)) is not None:
        raise InputError(f"texts[{at}] is {type(texts[at]).__name__}; each must be a text")
    embedder = open_embedder(fspath(model), device) if isinstance(model, (str, PathLike)) else model
    if not hasattr(embedder, "encode"):
        raise InputError(f"model is {type(model).__name__}; name an embedder, or give one of codeact.load_embedder")
    if not texts:
        return np.zeros((0, _dimension(embedder)), dtype=np.float32)
    # Longest first: texts of like length share a batch (little padding), and lack of memory shows at once.
    order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i))
    found: Vectors | None = None
    steady = Steady(progress, len(texts), sum(map(_work, texts)))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        block = embedder.encode([texts[i] for i in chosen], batch_size=batch_size, show_progress_bar=False)
        if found is None:
            found = np.empty((len(texts), block.shape[1]), dtype=np.float32)
        found[chosen] = _unit_rows(np.asarray(block, dtype=np.float32), chosen)
        steady.add(sum(_work(texts[i]) for i in chosen))
    assert found is not None
    return found


def _work(text: str) -> int:
    """What a text costs, in characters: embedders cut long ones."""
    return 1 + min(len(text), READ_CHARS)


def _unit_rows(block: Vectors, rows: Sequence[int]) -> Vectors:
    length = np.linalg.norm(block.astype(np.float64), axis=1)
    bad = np.flatnonzero(~np.isfinite(length) | (length == 0))
    if bad.size:
        what = f"the embedder gave no usable vector for text {rows[bad[0]]} (NaN, infinite or all zero)"
        raise CodeactError(f"{what}; choose another embed.model")
    unit: Vectors = (block / length[:, None]).astype(np.float32)
    return unit


def _dimension(embedder: Embedder) -> int:
    return int(embedder.encode([""], batch_size=1, show_progress_bar=False).shape[1])


def _no_embedder(name: str, reason: str) -> str:
    short = " ".join(reason.split())[:200]
    if "custom code" in reason or "trust_remote_code" in reason:
        short = "it needs code from its own repository (trust_remote_code), which codeact never runs"
    mend = "give a sentence-transformers name, a local folder or `demo`"
    return f"embedding model {name!r} cannot be loaded: {short}; {mend}"
