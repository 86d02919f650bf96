"""What of a network stays in float32 when the rest is computed in fewer bits: where it looks.

A network that cuts its own patches computes their places and rounds them to whole pixels. With the 8 bits of
bfloat16 a place at pixel 150 is known to half a pixel, and the index of a pixel in a picture to some hundred:
patches are cut beside what they should show. In: a model of OpenVINO. Out: two that do the same one after the
other: all that leads to a rounding, and the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Halves:
    """A model in two."""

    places: Any  # image in; all that `rest` needs of it out, in `rest`'s order
    rest: Any  # the image, where `takes_image`, and the outputs of `places` in; the whole model's outputs out
    takes_image: bool


def in_two(openvino: Any, model: Any) -> Halves | None:
    """`model`, of one input and fixed shapes, in two; None where nothing in it is rounded to whole numbers.

    `model` is taken apart and must not be used afterwards.
    """
    nodes = model.get_ordered_ops()
    image = model.inputs[0].get_node()
    from_image = _reached(nodes, {image.get_name()}, _givers)
    roundings = {
        node.get_name() for node in nodes if node.get_name() in from_image and _rounds(openvino, node)
    }
    if not roundings:
        return None
    exact = _reached(reversed(nodes), roundings, _takers) & from_image - {image.get_name()}
    handed = [
        output
        for node in nodes
        if node.get_name() in exact
        for output in node.outputs()
        if any(taker.get_node().get_name() not in exact for taker in output.get_target_inputs())
    ]
    places = openvino.Model(handed, [image], "places").clone()
    inputs = []
    for output in handed:
        given = openvino.op.Parameter(output.get_element_type(), output.get_partial_shape())
        for taker in output.get_target_inputs():
            if taker.get_node().get_name() not in exact:
                taker.replace_source_output(given.output(0))
        inputs.append(given)
    takes_image = any(
        taker.get_node().get_name() not in exact for taker in image.output(0).get_target_inputs()
    )
    rest = openvino.Model(model.get_results(), [image] * takes_image + inputs, "rest").clone()
    return Halves(places, rest, takes_image)


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
