"""On what a plan is counted: devices and how many, how far they are used, their price; and what the work then takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codeact.amounts import check_whole, is_number
from codeact.errors import InputError
from codeact.lm.hardware import THIS_MACHINE, UTILISATION, Card, find_card
from codeact.score.cost import duration

USUAL = ("a100", "h100")
USABLE = 0.9  # of a device's memory: the rest is the CUDA context and what lies between tensors. An assumption.


@dataclass(frozen=True, slots=True)
class Budget:
    """What a plan is counted for.

    Attributes:
        gpu: name of `lm.hardware.CARDS`, or `this-machine`, which is measured; empty: an A100 and an H100, side by side.
        gpus: how many of them.
        price: of one for an hour, in any currency; None: no cost is told.
        utilisation: share of the peak, and in generation of the memory's bandwidth, that is taken to be reached.
        parameters: of the model, where its configuration is not at hand: no model is looked for then, neither here nor at the hub.
        records: how many the data will have, where what is given is a sample of them, or not at hand.
    """

    gpu: str = ""
    gpus: int = 1
    price: float | None = None
    utilisation: float = UTILISATION
    parameters: float | None = None
    records: int | None = None

    def __post_init__(self) -> None:
        for option, wrong, limit in (
            ("price", self.price is not None and not (is_number(self.price) and self.price >= 0), "at least 0"),
            ("utilisation", not (is_number(self.utilisation) and 0 < self.utilisation <= 1), "above 0 and at most 1"),
            ("parameters", self.parameters is not None and not (is_number(self.parameters) and self.parameters > 0), "above 0"),
        ):
            if wrong:
                raise InputError(f"{option} = {getattr(self, option)!r}: must be {limit}")
        check_whole("gpus", self.gpus)
        if self.records is not None:
            check_whole("records", self.records)
        if self.gpu != "":
            find_name(self.gpu)

    def cards(self) -> list[Card]:
        """What the plan is told for; `this-machine` takes a second."""
        return [find_card(name) for name in ([self.gpu] if self.gpu else USUAL)]


def find_name(gpu: str) -> None:
    """Refuse the name of a card that is none, without measuring anything.

    Raises:
        InputError: it is none.
    """
    if gpu.lower() != THIS_MACHINE:
        find_card(gpu)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done.

    Attributes:
        score_flops, train_flops: floating-point operations.
        score_on_all: scoring is divided among the devices (backend ray); else one does it.
        longest_flops: of the longest single training, where there are several; 0: not told.
        decode_bytes: bytes that generation reads at most: of the weights, once for each token and batch.
        memory: of training by part, where one device holds everything; empty where nothing is trained.
        divided: the same for each of several devices under FSDP.
        together: one training uses all devices, and one of them evaluates; else each has trainings and evaluations of its own.
    """

    score_flops: float
    train_flops: float
    decode_bytes: float
    memory: Mapping[str, float]
    divided: Mapping[str, float]
    score_on_all: bool = False
    longest_flops: float = 0.0
    together: bool = True


def times(work: Work, budget: Budget) -> dict[str, dict[str, Any]]:
    """Device -> hours of each part and in sum, `seconds` in sum, whether training fits one and, divided, each; `cost` with a price."""
    return {card.name: _on(card, work, budget) for card in budget.cards()}


def _on(card: Card, work: Work, budget: Budget) -> dict[str, Any]:
    speed, gpus = budget.utilisation * card.flops * 3600, budget.gpus
    score = work.score_flops / (speed * (gpus if work.score_on_all else 1))
    train = work.train_flops / (speed * gpus)
    evaluate = work.decode_bytes / (budget.utilisation * card.bandwidth * 3600 * (1 if work.together else gpus))
    hours = score + train + evaluate
    room = USABLE * card.memory
    return {
        "gpus": gpus,
        "measured": card.measured,
        "score_hours": score,
        "train_hours": train,
        "evaluate_hours": evaluate,
        "longest_hours": work.longest_flops / speed,
        "hours": hours,
        "seconds": 3600 * hours,
        "fits": sum(work.memory.values()) <= room if work.memory else None,
        "fits_divided": sum(work.divided.values()) <= room if work.memory and gpus > 1 else None,
        "cost": None if budget.price is None else budget.price * gpus * hours,
    }


def device_lines(devices: Mapping[str, Mapping[str, Any]], work: Work, budget: Budget) -> list[tuple[str, str]]:
    """The same for people: a device's name, or nothing where the line before has it, and what is told of it."""
    found = []
    parts = (("score", "score_hours"), ("train", "train_hours"), ("the longest", "longest_hours"), ("evaluate at most", "evaluate_hours"))
    for name, device in devices.items():
        told = ", ".join(f"{what} {duration(device[key])}" for what, key in parts if device[key])
        title = name if budget.gpus == 1 else f"{budget.gpus} x {name}"
        found.append((title, f"{told or 'nothing to compute'}{_fits(device, work)}"))
        if budget.gpus > 1 and work.memory and work.together:
            found.append(("", f"memory of each: {_whole_or_part(device, work)}"))
        if device["cost"] is not None:
            held = f"{budget.gpus} x {duration(device['hours'])} at {budget.price:g} an hour"
            found.append(("", f"cost {device['cost']:,.2f} ({held})"))
    return found


def _fits(device: Mapping[str, Any], work: Work) -> str:
    if device["fits"] is None or (device["gpus"] > 1 and work.together):
        return ""
    return "; training fits" if device["fits"] else "; training does not fit on one"


def _whole_or_part(device: Mapping[str, Any], work: Work) -> str:
    sides = [("whole (DDP)", work.memory, device["fits"]), ("divided (FSDP)", work.divided, device["fits_divided"])]
    return ", ".join(f"{what} {sum(parts.values()) / 1e9:.1f} GB, {'fits' if fits else 'does not fit'}" for what, parts, fits in sides)


def notes_of(budget: Budget, devices: Mapping[str, Mapping[str, Any]], work: Work) -> Sequence[str]:
    """What the figures assume, and what was not measured."""
    measured = any(device["measured"] for device in devices.values())
    peak = "of the speed just measured in matrix products and copies" if measured else "of the 16-bit peak and the bandwidth of the data sheet"
    found = [
        f"hours assume {budget.utilisation:.0%} {peak} (--utilisation changes it); not measured on {'a GPU' if measured else 'these devices'}",
        f"training fits where it takes at most {USABLE:.0%} of the memory; memory was not checked on a GPU",
    ]
    if budget.gpus > 1:
        scoring = "scoring is divided among them by backend=ray" if work.score_on_all else "scoring runs on one (backend=ray divides it)"
        how = (
            "training on all is `accelerate launch --config_file $(codeact recipes accelerate/fsdp --path) -m codeact train`, not run on GPUs; evaluation is on one"
            if work.together
            else "each takes trainings and evaluations of its own (start the same command once for each)"
        )
        found.append(f"{budget.gpus} GPUs: {how}; {scoring}; no time is counted for their communication")
    return found
