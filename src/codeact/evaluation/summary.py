"""The figures of an evaluation as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codeact.amounts import amount
from codeact.evaluation.held_out import NAME
from codeact.evaluation.run import KS
from codeact.terminal import visible

SHOWN = 20  # tasks of a list


def result_lines(results: Mapping[str, Any]) -> list[str]:
    """One line per task set with pass@k and bits per byte; one per paired difference where `results` holds differences."""
    lines = [_task_set(name, v) for name, v in results.items() if isinstance(v, Mapping) and "pass@1" in v]
    lines += [f"warning: {line}" for line in results.get("warnings", [])]
    if results["sandbox"] == "none":
        lines.append("the generated code ran without a sandbox (--unsafe-no-sandbox)")
    for name, metrics in results.get("differences", {}).items():
        for metric, pair in metrics.items():
            if pair is None:
                lines.append(f"{name}: {metric} cannot be paired by task with {results['against']}")
                continue
            between = "" if pair["interval"] is None else " [{:+.4f}, {:+.4f}]".format(*pair["interval"])
            change = f"{pair['difference']:+.4f}{between} on {amount(pair['tasks'], 'task')}"
            lines.append(f"{name}: {metric} {change}, against {results['against']}: {pair['verdict']}")
            if "samples" in pair:
                lines.append("  samples of a task, {:g} before and {:g} here: of more samples, more tasks are gained".format(*pair["samples"]))
            lines += [f"  {what}: {_listed(tasks)}" for what, tasks in pair.get("changed", {}).items() if tasks]
    return lines


def _listed(tasks: Sequence[str]) -> str:
    more = f" and {len(tasks) - SHOWN:,} more" if len(tasks) > SHOWN else ""
    return visible(f"{len(tasks):,}: {', '.join(tasks[:SHOWN])}{more}")


def _task_set(name: str, figures: Mapping[str, Any]) -> str:
    parts = []
    for k in KS:
        if figures.get(f"pass@{k}") is not None:
            low, high = figures["interval" if k == 1 else f"pass@{k}_interval"]
            parts.append(f"pass@{k} {figures[f'pass@{k}']:.1%} [{low:.1%}, {high:.1%}]")
    if parts:
        whole = figures.get("tasks_in_set", figures["tasks"])
        parts.append(amount(whole, "task") if figures["tasks"] == whole else f"{figures['tasks']} of {amount(whole, 'task')}")
    if figures["bits_per_byte"] is not None:
        parts.append(f"bits per byte {figures['bits_per_byte']:.4f}")
        parts += [f"{figures['bits_per_byte_tasks']} of {amount(figures['tasks_in_set'], 'record')}"] if name == NAME else []
    if figures.get("margin") is not None:
        between = "" if figures["margin_interval"] is None else " [{:+.2f}, {:+.2f}]".format(*figures["margin_interval"])
        twins = amount(figures["margin_tasks"], "buggy twin")
        parts.append(f"margin over {twins} {figures['margin']:+.2f} nats{between}, right ones likelier {figures['prefers_right']:.1%}")
    return f"{name} {figures['version']}: " + ", ".join(parts)
