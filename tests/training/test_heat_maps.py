"""Landmarks whose places are read from heat maps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facecap_batch.training.networks.expression import Expression, Patches
from facecap_batch.training.networks.heat_maps import WIDTH, HeatMaps, mean_places
from facecap_batch.training.networks.sizes import DEFAULT, FAST, Design
from facecap_batch.training.optimisation.checkpoint import Training
from facecap_batch.training.regressor import losses


@pytest.mark.parametrize(("high", "wide"), [(6, 6), (5, 7)])  # odd ones have half a cell of the coarser stage
def test_a_bright_cell_is_the_place(high: int, wide: int) -> None:
    """A map that copies a channel of the finer stage gives the middle of the cell where that is bright; with
    two such cells, the middle between them."""
    torch.manual_seed(0)
    places = HeatMaps(WIDTH, 8, 2)
    for layer in (places.coarse, places.maps):
        torch.nn.init.zeros_(layer.weight)
    for layer in places.children():
        torch.nn.init.zeros_(layer.bias)
    torch.nn.init.dirac_(places.fine.weight)
    with torch.no_grad():
        places.maps.weight[0, 0, 1, 1] = places.maps.weight[1, 1, 1, 1] = 1.0
    fine = torch.zeros(1, WIDTH, high, wide)
    fine[0, 0, 1, 4], fine[0, 1, 0, 0], fine[0, 1, 2, 2] = 50.0, 50.0, 50.0
    found = mean_places(places(fine, torch.rand(1, 8, (high + 1) // 2, (wide + 1) // 2)))
    middles = [[[9 / wide - 1, 3 / high - 1], [3 / wide - 1, 3 / high - 1]]]
    torch.testing.assert_close(found, torch.tensor(middles), atol=1e-5, rtol=0)


def test_the_coarser_stage_tells_like_cells_apart() -> None:
    """Of two cells that are as bright, the one that its surroundings favour is the place."""
    places = HeatMaps(1, 1, 1)
    for layer in places.children():
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    with torch.no_grad():
        places.fine.weight[0], places.coarse.weight[0], places.maps.weight[0, 0, 1, 1] = 1.0, 1.0, 1.0
    fine, coarse = torch.zeros(1, 1, 8, 8), torch.full((1, 1, 4, 4), -40.0)
    fine[0, 0, 2, 2], fine[0, 0, 6, 6], coarse[0, 0, 3, 3] = 50.0, 50.0, 0.0
    torch.testing.assert_close(
        mean_places(places(fine, coarse)), torch.full((1, 1, 2), 0.625), atol=1e-3, rtol=0
    )


def test_places_are_drawn_to_landmarks_that_the_patch_shows() -> None:
    wanted = torch.tensor([[[0.5, -0.5], [1.2, 0.0]]])
    found = torch.zeros(1, 2, 2, requires_grad=True)
    error = losses.places_error(found, wanted)
    error.backward()
    assert error.item() == pytest.approx(1.0)
    assert found.grad is not None and found.grad[0, 0].tolist() == [-1.0, 1.0]
    assert not found.grad[0, 1].any()  # outside
    assert losses.places_error(found, wanted + 2).item() == 0.0


@pytest.mark.parametrize("design", [DEFAULT, FAST])
def test_a_network_without_heat_maps_learns_on_with_them(design: Design, tmp_path: Path) -> None:
    """Heads that knew features alone read what they read before, and then learn to see places."""
    torch.manual_seed(0)
    expression = Expression(design)
    for head in (expression.upper_paired_out, expression.lower_paired_out, expression.lower_other_out):
        torch.nn.init.normal_(head[-1].weight, std=0.1)
    plain, eye, side, face = (
        expression.state_dict(),
        expression.eye.seen - design.eye.features,
        expression.side.seen - design.side.features,
        expression.face.seen - design.face.features,
    )
    behind = {"upper": 2 * eye, "lower": 2 * (eye + side), "turn_": 2 * (eye + side)}
    behind |= {"eye_": eye, "side_": side, "face_": face}
    for name, weight in list(plain.items()):
        if ".places." in name:
            del plain[name]
        elif name.endswith(("_out.0.weight", "_marks.weight", "_hidden.weight")) and name[:4] != "seen":
            (columns,) = (count for start, count in behind.items() if name.startswith(start))
            plain[name] = weight[:, : weight.shape[1] - columns]
    torch.save({"average": plain, "samples": 7, "runs": ["a command"]}, tmp_path / "expression.pt")
    training = Training(Expression(design), 1e-3, Expression.READOUTS)
    training.load(tmp_path / "expression.pt")
    assert training.runs == ["a command", "3 modules more"] and training.samples == 7

    patches = Patches(
        *(
            torch.rand(2, 3 * stages.fold**2, window.side // stages.fold, window.side // stages.fold)
            for stages, window in zip(
                (design.eye, design.eye, design.side, design.side, design.face),
                design.windows.each,
                strict=True,
            )
        )
    )
    angles = torch.rand(2, 3)
    grown = training.average
    read, marks = grown(patches, angles)
    assert [places.shape[1] for places in marks.places] == [12, 12, 15, 15, 71]
    for network in (grown.eye, grown.side, grown.face):
        torch.nn.init.normal_(network.places.maps.weight)
    again, elsewhere = grown(patches, angles)
    assert (elsewhere.places[0] - marks.places[0]).abs().max() > 0.01
    torch.testing.assert_close(again.coefficients, read.coefficients, atol=0, rtol=0)
    torch.testing.assert_close(elsewhere.face, marks.face, atol=0, rtol=0)

    again.coefficients.sum().backward()
    head = grown.lower_paired_out[0].weight.grad
    assert head is not None and head[:, -behind["lower"] :].any()
