"""Cross entropy without the [T, V] logits: the head runs over the learnt positions only, a chunk at a time.

This module imports torch at the top; import it inside functions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from codeact.errors import InputError
from codeact.lm.forward import (
    allowed_head_gap,
    chunk_positions,
    decoder,
    head_gap,
    head_logits,
    hidden_states,
    losses_of_logits,
    without_adapter,
)
from codeact.lm.modes import eval_mode
from codeact.packing.overlong import IGNORE
from codeact.training.objective import sample_weights
from codeact.types import Model

if TYPE_CHECKING:
    from transformers.modeling_outputs import CausalLMOutputWithPast

PROBE_TOKENS = 16
CLOSE = 1e-3  # relative difference of two equal losses
SAME = 1e-5  # of one loss computed twice from the same logits
COEFFICIENTS = ("router_aux_loss_coef", "aux_loss_coef")
"""Entries of a configuration that the loss which balances experts is multiplied by."""

log = logging.getLogger(__name__)
Forward = Callable[..., "CausalLMOutputWithPast"]


def chunked_cross_entropy(
    hidden: Tensor,
    targets: Tensor,
    head: Callable[[Tensor], Tensor],
    weights: list[torch.nn.Parameter],
    chunk: int,
    scales: Tensor | None = None,
) -> Tensor:
    """Sum over positions of -log softmax(head(hidden))[target], in nats; at most `chunk` rows of logits exist at a time.

    Args:
        hidden: float [N, D], the head's input at the learnt positions.
        targets: int64 [N], the tokens to predict.
        head: hidden states to logits, [n, D] -> [n, V].
        weights: the parameters that `head` uses; those that require a gradient get one.
        chunk: positions per chunk.
        scales: float32 [N], what each position's loss is multiplied by; None: 1.

    Returns:
        float32 scalar. Its backward pass can run once.
    """
    if torch.is_grad_enabled():
        total: Tensor = _ChunkedCrossEntropy.apply(hidden, targets, scales, head, chunk, *weights)  # type: ignore[no-untyped-call]
        return total
    starts = range(0, len(targets), chunk)
    return torch.stack([_part_loss(hidden[s : s + chunk], targets, scales, head, s) for s in starts]).sum()


def _part_loss(part: Tensor, targets: Tensor, scales: Tensor | None, head: Callable[[Tensor], Tensor], start: int) -> Tensor:
    """The summed loss of the positions from `start` on whose hidden states are `part`."""
    wanted = slice(start, start + len(part))
    losses = token_losses(head(part), targets[wanted])
    return losses.sum() if scales is None else (losses * scales[wanted]).sum()


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """`losses_of_logits`, whose backward pass writes the gradient where the log-probabilities were: it can run once.

    Args:
        logits: float [N, V].
        targets: int64 [N].

    Returns:
        float32 [N], in nats.
    """
    losses: Tensor = _TokenLosses.apply(logits, targets)  # type: ignore[no-untyped-call]
    return losses


class _Kept(Protocol):
    """What the forward pass leaves for the backward pass: float32 log-probabilities [N, V], targets [N], the logits' dtype."""

    found: Tensor
    targets: Tensor
    dtype: torch.dtype


class _TokenLosses(torch.autograd.Function):
    """softmax - one-hot, times what comes in, made in place: torch's own would hold [N, V] three times."""

    @staticmethod
    def forward(ctx: _Kept, logits: Tensor, targets: Tensor) -> Tensor:
        found = logits.log_softmax(-1, dtype=torch.float32)
        ctx.found, ctx.targets, ctx.dtype = found, targets, logits.dtype
        return -found.gather(-1, targets[:, None])[:, 0]

    @staticmethod
    def backward(ctx: _Kept, incoming: Tensor) -> tuple[Tensor, None]:
        gradient = ctx.found.exp_()
        del ctx.found
        gradient.mul_(incoming[:, None])
        gradient.scatter_add_(-1, ctx.targets[:, None], -incoming[:, None])
        return gradient.to(ctx.dtype), None


def use_chunked_loss(model: Model, objective: str = "token-mean") -> bool:
    """Make a causal language model (PEFT-wrapped or not) compute its training loss in chunks, in place.

    The model's `forward` is replaced for calls with `labels`, so that wrappers around it (DDP, autocast, PEFT) work as
    before; other calls go to the model's own. Such an output holds the loss and no logits. The loss is the mean over the learnt
    tokens or, with the objective `sample-mean`, over the samples, each the mean over its own; with `num_items_in_batch` the sum divided
    by that.

    A loss that balances the experts of a mixture (`output_router_logits` in its configuration) is added in training, not in evaluation:
    its coefficient times the mean over the passes of a step, each by its learnt tokens (or samples), so that accumulated passes and
    processes do not add it up. Any other addition to a model's own loss is left out, with a warning.

    Not every model's logits are what `head_logits` makes of its hidden states. That is measured on short random inputs first; where
    they differ, the loss is that of the model's own logits, all at a time.

    Returns:
        Whether the model computes its loss in chunks now.
    """
    causal: Model = without_adapter(model)
    own: Forward = causal.forward
    coefficient = _coefficient(causal, own)
    output: torch.nn.Module | None = causal.get_output_embeddings()
    chunked = output is not None and _head_is_all(causal)

    def head(hidden: Tensor) -> Tensor:
        return head_logits(causal, hidden) if chunked else hidden

    def forward(
        input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **inputs: Any,
    ) -> CausalLMOutputWithPast:
        if labels is None:
            return own(input_ids=input_ids, **inputs)
        from transformers.modeling_outputs import CausalLMOutputWithPast

        # asked for in each pass: sharding puts other parameters in their place
        weights = list(output.parameters()) if chunked and output is not None else []
        states, balance = _states(causal, own, {"input_ids": input_ids, **inputs}, chunked, bool(coefficient) and causal.training)
        targets = labels[:, 1:]
        learnt = targets != IGNORE
        items, scales = learnt.sum(), None
        if objective == "sample-mean":
            shares, items = sample_weights(labels, inputs.get("cu_seq_lens_q"))
            scales = shares[:, 1:][learnt]
        hidden, targets = states[:, :-1][learnt], targets[learnt]
        if len(targets) == 0:
            # the head's gradient is zero, not missing: processes that share it out must all have one
            learning = [weight.flatten()[:1].sum() for weight in weights if weight.requires_grad]
            return CausalLMOutputWithPast(loss=(states.sum() + sum(learning)) * 0.0)
        chunk = chunk_positions(causal, hidden.device, learning=True)
        total = chunked_cross_entropy(hidden, targets, head, weights, chunk, scales)
        if balance is not None:
            total = total + coefficient * items * balance
        return CausalLMOutputWithPast(loss=total / (items if num_items_in_batch is None else num_items_in_batch))

    causal.forward = forward  # type: ignore[method-assign]
    causal.accepts_loss_kwargs = True  # type: ignore[assignment]  # some classes tell the Trainer otherwise (Gemma 4)
    return chunked


def _states(causal: Model, own: Forward, inputs: dict[str, Any], chunked: bool, balanced: bool) -> tuple[Tensor, Tensor | None]:
    """Hidden states [B, T, hidden], or logits where not `chunked`; where `balanced` the loss that balances the experts in this pass."""
    if chunked and not balanced:
        return hidden_states(causal, inputs), None
    inputs = {"use_cache": False, **inputs}
    kept: list[Tensor] = []
    hook = None
    if chunked:
        hook = decoder(causal).register_forward_hook(lambda _, __, found: kept.append(found[0]))
        inputs |= {"logits_to_keep": 1} if "logits_to_keep" in signature(own).parameters else {}
    try:
        output: Any = own(**inputs)
    finally:
        if hook is not None:
            hook.remove()
    return kept[0] if chunked else output.logits, output.aux_loss if balanced else None


class _Gradients(Protocol):
    """What the forward pass leaves for the backward pass: the gradients of hidden states [N, D] and of each weight that has one."""

    hidden_grad: Tensor
    weight_grads: list[Tensor | None]


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Each chunk's gradients are made in the forward pass, so that no logits outlive their chunk and none are made twice.

    The gradient of a sum is linear in the incoming gradient, so the backward pass only scales what was stored. The idea
    is Liger Kernel's (arXiv 2410.10989, fused linear cross entropy), here for any head module.
    """

    @staticmethod
    def forward(
        ctx: _Gradients, hidden: Tensor, targets: Tensor, scales: Tensor | None,
        head: Callable[[Tensor], Tensor], chunk: int, *weights: Tensor,
    ) -> Tensor:  # fmt: skip
        wanted = [w for w in weights if w.requires_grad]
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        hidden_grad = torch.empty_like(hidden)
        sums: list[Tensor] = []
        for start in range(0, len(targets), chunk):
            part = hidden[start : start + chunk].detach().requires_grad_()
            with torch.enable_grad():
                loss = _part_loss(part, targets, scales, head, start)
                gradients = torch.autograd.grad(loss, [part, *wanted], materialize_grads=True)
            total += loss.detach()
            hidden_grad[start : start + chunk] = gradients[0]
            if not sums:
                # summed in float32: in bfloat16 the sum over many chunks would lose the small ones
                sums = [gradient.float() for gradient in gradients[1:]]
            else:
                for so_far, gradient in zip(sums, gradients[1:], strict=True):
                    so_far += gradient
            del gradients, loss
        ctx.hidden_grad = hidden_grad
        stored = iter(sums)
        ctx.weight_grads = [next(stored).to(w.dtype) if w.requires_grad else None for w in weights]
        return total

    @staticmethod
    def backward(ctx: _Gradients, scale: Tensor) -> tuple[Tensor | None, ...]:
        hidden = ctx.hidden_grad.mul_(scale.to(ctx.hidden_grad.dtype))
        weights = [None if g is None else g.mul_(scale.to(g.dtype)) for g in ctx.weight_grads]
        del ctx.hidden_grad, ctx.weight_grads
        return (hidden, None, None, None, None, *weights)


def _head_is_all(causal: Model) -> bool:
    """Whether the model's logits are its head's of the hidden states below it."""
    try:
        return head_gap(causal) <= allowed_head_gap(causal)
    except InputError:  # nothing below the head can be run alone
        return False


def _coefficient(causal: Model, own: Forward) -> float:
    """What the loss that balances experts is multiplied by in the model's own loss; 0: there is none.

    An addition that is not known is told. So is a loss of another kind, but for one that takes the labels for those of the next tokens
    already (decoders of BART's kind): kept, it would teach to repeat what is read.
    """
    ids, output = _probe(causal, own)
    if output.loss is None or output.logits is None:
        return 0.0
    logits, found = output.logits[0], float(output.loss)
    same, following = (float(losses_of_logits(*pair).mean()) for pair in ((logits, ids[0]), (logits[:-1], ids[0, 1:])))
    balance, config = getattr(output, "aux_loss", None), causal.config.get_text_config().to_dict()
    value = float(balance) if isinstance(balance, Tensor) else 0.0
    coefficient = next((float(config[name]) for name in COEFFICIENTS if config.get(name) is not None), 0.0) if value else 0.0
    rest = found - following - coefficient * value
    allowed = SAME if logits.dtype == torch.float32 else CLOSE
    if min(abs(rest) - allowed * abs(following), abs(found - same) - allowed * abs(same)) > 0:
        log.warning("%s adds %.2g to the loss of the next tokens, %.3g; that addition is left out", type(causal).__name__, rest, following)
    return coefficient


def _probe(causal: Model, way: Forward) -> tuple[Tensor, CausalLMOutputWithPast]:
    """Random tokens, int64 [1, T], and what a forward pass in eval mode says of them."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = causal.config.get_text_config().vocab_size
    ids = torch.randint(vocabulary, (1, PROBE_TOKENS), generator=generator).to(causal.device)
    with eval_mode(causal), torch.no_grad():
        return ids, way(input_ids=ids, labels=ids, use_cache=False)
