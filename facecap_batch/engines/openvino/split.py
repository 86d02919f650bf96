"""What of a network stays in float32 when its convolutions are computed in fewer bits: where it looks.

A network that cuts its own patches computes their places and rounds them to whole pixels. With the 8 bits of
bfloat16 a place at pixel 150 is known to half a pixel, and the index of a pixel in a picture to some hundred:
patches are cut beside what they should show. What convolutions find of a face may be known to 8 bits; what
is reckoned with it may not. In: a model of OpenVINO. Out: several that do the same one after the other: by
turns all up to some last convolutions, and all from there to a rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a model."""

    model: Any
    exact: bool  # to be computed in float32
    takes: tuple[int, ...]  # of its inputs, which of the image and all that stages before it gave, in order


def in_stages(openvino: Any, model: Any) -> list[Stage] | None:
    """`model`, of one input and fixed shapes, in stages, the last of which gives its outputs; None where
    nothing in it is rounded to whole numbers.

    `model` is taken apart and must not be used afterwards.
    """
    nodes = model.get_ordered_ops()
    image = model.inputs[0].get_node()
    from_image = _reached(nodes, {image.get_name()}, _givers) - {image.get_name()}
    exact = _to_roundings(openvino, [node for node in nodes if node.get_name() in from_image])
    if not exact:
        return None
    results = {result.get_name() for result in model.get_results()}
    turn = _turns(nodes, from_image - results, exact)
    last = max(turn.values())
    turn |= dict.fromkeys(results, last)
    given = [image.output(0)]
    stages = []
    for number in sorted(set(turn.values())):
        takes, inputs = _cut_loose(openvino, given, number, turn)
        if number == last:
            part = openvino.Model(model.get_results(), inputs, f"stage {number}")
        else:
            handed = [output for node in nodes for output in _handed(node, number, turn)]
            part = openvino.Model(handed, inputs, f"stage {number}")
            given += handed
        stages.append((part, number % 2 == 1, takes))
    # Cloned when all are cut loose: until then they share nodes.
    return [Stage(part.clone(), in_float32, takes) for part, in_float32, takes in stages]


def _to_roundings(openvino: Any, nodes: list[Any]) -> set[str]:
    """Names of the `nodes` that round to whole numbers, and of those before them after which no convolution
    comes first."""
    roundings = {node.get_name() for node in nodes if _rounds(openvino, node)}
    convolutions = {node.get_name() for node in nodes if node.get_type_name() == "Convolution"}
    backward = nodes[::-1]
    lead_there = _reached(backward, roundings, _takers)
    before_convolutions: set[str] = set()
    for node in backward:
        takers = _takers(node) & lead_there - roundings
        if not takers.isdisjoint(convolutions | before_convolutions):
            before_convolutions.add(node.get_name())
    return roundings | lead_there - before_convolutions - convolutions


def _turns(nodes: Iterable[Any], computed: set[str], exact: set[str]) -> dict[str, int]:
    """Of each of the `computed` nodes the stage that it belongs to: of odd number where it is `exact`, and
    none before those that it takes from."""
    turn: dict[str, int] = {}
    for node in nodes:
        name = node.get_name()
        if name in computed:
            earliest = max((turn[giver] for giver in _givers(node) if giver in turn), default=0)
            turn[name] = earliest + (earliest % 2 != (name in exact))
    return turn


def _cut_loose(
    openvino: Any, given: list[Any], stage: int, turn: dict[str, int]
) -> tuple[tuple[int, ...], list[Any]]:
    """Let a stage's nodes take inputs of their own in place of the `given` outputs: which of them, and the
    inputs."""
    takes, inputs = [], []
    for number, output in enumerate(given):
        takers = [
            taker
            for taker in output.get_target_inputs()
            if turn.get(taker.get_node().get_name(), -1) == stage
        ]
        if not takers:
            continue
        entry = openvino.op.Parameter(output.get_element_type(), output.get_partial_shape())
        for taker in takers:
            taker.replace_source_output(entry.output(0))
        takes.append(number)
        inputs.append(entry)
    return tuple(takes), inputs


def _handed(node: Any, stage: int, turn: dict[str, int]) -> list[Any]:
    """The outputs of a node of `stage` that later ones take."""
    if turn.get(node.get_name()) != stage:
        return []
    return [
        output
        for output in node.outputs()
        if any(turn[taker.get_node().get_name()] > stage for taker in output.get_target_inputs())
    ]


def _reached(nodes: Any, start: set[str], neighbours: Callable[[Any], set[str]]) -> set[str]:
    """Names of `start` and of all nodes that lead to it by `neighbours`; `nodes` come in that order."""
    reached = set(start)
    for node in nodes:
        if not reached.isdisjoint(neighbours(node)):
            reached.add(node.get_name())
    return reached


def _givers(node: Any) -> set[str]:
    return {given.get_source_output().get_node().get_name() for given in node.inputs()}


def _takers(node: Any) -> set[str]:
    return {taker.get_node().get_name() for output in node.outputs() for taker in output.get_target_inputs()}


def _rounds(openvino: Any, node: Any) -> bool:
    """Whether `node` makes whole numbers of others."""
    if node.get_type_name() != "Convert":
        return False
    return bool(
        node.get_input_element_type(0).is_real() and node.get_output_element_type(0).is_integral_number()
    )
