"""What of a network stays in float32 when its convolutions are computed in fewer bits: where it looks.

A network that cuts its own patches computes their places and rounds them to whole pixels. With the 8 bits of
bfloat16 a place at pixel 150 is known to half a pixel, and the index of a pixel in a picture to some hundred:
patches are cut beside what they should show. What convolutions find of a face may be known to 8 bits, where
that was judged; what is reckoned with it may not. In: a model of OpenVINO. Out: several that do the same one
after the other, by turns such as may be computed in fewer bits and such as lead to a rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

_CONVOLUTIONS = ("Convolution", "GroupConvolution")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a model."""

    model: Any
    exact: bool  # to be computed in float32
    takes: tuple[int, ...]  # of its inputs, which of the image and all that stages before it gave, in order


def in_stages(openvino: Any, model: Any, exact_convolutions: bool) -> list[Stage] | None:
    """`model`, of one input and fixed shapes, in stages, the last of which gives its outputs; None where
    nothing in it is rounded to whole numbers.

    `exact_convolutions`: exact is all that leads to a rounding; else what comes there after the last
    convolutions. `model` is taken apart and must not be used afterwards.
    """
    nodes = model.get_ordered_ops()
    image = model.inputs[0].get_node()
    from_image = _reached(nodes, {image.get_name()}, _givers) - {image.get_name()}
    computed = [node for node in nodes if node.get_name() in from_image]
    roundings = {node.get_name() for node in computed if _rounds(openvino, node)}
    exact = _reached(computed[::-1], roundings, _takers)
    if not exact_convolutions:
        exact -= _up_to_convolutions(computed, exact, roundings)
    if not exact:
        return None
    results = {result.get_name() for result in model.get_results()}
    later = _later_stages([node for node in computed if node.get_name() not in results], exact)
    last = min(later.values())
    later |= dict.fromkeys(results, last)
    given = [image.output(0)]
    stages = []
    for number in sorted(set(later.values()), reverse=True):
        takes, inputs = _cut_loose(openvino, given, number, later)
        if number == last:
            part = openvino.Model(model.get_results(), inputs, f"{number} later")
        else:
            handed = [output for node in nodes for output in _handed(node, number, later)]
            part = openvino.Model(handed, inputs, f"{number} later")
            given += handed
        stages.append((part, number % 2 == 1, takes))
    # Cloned when all are cut loose: until then they share nodes.
    return [Stage(part.clone(), in_float32, takes) for part, in_float32, takes in stages]


def _up_to_convolutions(nodes: list[Any], leading: set[str], roundings: set[str]) -> set[str]:
    """Names of the convolutions among `nodes` that are `leading` to `roundings`, and of those after which
    one of these comes before the next rounding."""
    found = {node.get_name() for node in nodes if node.get_type_name() in _CONVOLUTIONS} & leading
    for node in reversed(nodes):
        if node.get_name() in leading - roundings and not found.isdisjoint(_takers(node)):
            found.add(node.get_name())
    return found


def _later_stages(nodes: list[Any], exact: set[str]) -> dict[str, int]:
    """How many stages come after that of each of the `nodes`: an odd number where it is `exact`, more than
    after what takes from it otherwise, and as few as that allows."""
    later: dict[str, int] = {}
    for node in reversed(nodes):
        name = node.get_name()
        after = max((later[taker] for taker in _takers(node) if taker in later), default=0)
        later[name] = after + (after % 2 != (name in exact))
    return later


def _cut_loose(
    openvino: Any, given: list[Any], number: int, later: dict[str, int]
) -> tuple[tuple[int, ...], list[Any]]:
    """Let nodes with `number` later stages take inputs of their own in place of the `given` outputs: which of
    them, and the inputs."""
    takes, inputs = [], []
    for index, output in enumerate(given):
        takers = [
            taker for taker in output.get_target_inputs() if later.get(taker.get_node().get_name()) == number
        ]
        if not takers:
            continue
        entry = openvino.op.Parameter(output.get_element_type(), output.get_partial_shape())
        for taker in takers:
            taker.replace_source_output(entry.output(0))
        takes.append(index)
        inputs.append(entry)
    return tuple(takes), inputs


def _handed(node: Any, number: int, later: dict[str, int]) -> list[Any]:
    """The outputs of a node with `number` later stages that those take."""
    if later.get(node.get_name()) != number:
        return []
    return [
        output
        for output in node.outputs()
        if any(later[taker.get_node().get_name()] < number for taker in output.get_target_inputs())
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
