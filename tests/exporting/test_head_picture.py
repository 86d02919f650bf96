"""The head as a picture: what moves in it, on which side, and that polygons cover what they should."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, SHAPE_NAMES
from facecap_batch.exporting.preview.picture import seen_rotation
from facecap_batch.exporting.raster.head_painter import HeadPainter
from facecap_batch.exporting.raster.scanlines import Polygons, Window, filled
from facecap_batch.geometry import matrix_from_euler

WIDTH, HEIGHT = 200, 250
GROUND = (10, 20, 30)


@pytest.fixture(scope="module")
def painter() -> HeadPainter:
    return HeadPainter(WIDTH, HEIGHT, GROUND)


def face(**values: float) -> np.ndarray:
    row = np.zeros(len(SHAPE_NAMES), np.float32)
    for name, value in values.items():
        row[SHAPE_NAMES.index(name)] = value
    return row


def drawn(painter: HeadPainter, *, yaw: float = 0.0, pitch: float = 0.0, **values: float) -> np.ndarray:
    return painter.draw(face(**values), matrix_from_euler(np.array([yaw, pitch, 0.0]))).astype(int)


def change(painter: HeadPainter, **values: float) -> np.ndarray:
    return np.abs(drawn(painter, **values) - drawn(painter)).max(axis=2)


def is_ground(image: np.ndarray) -> np.ndarray:
    found: np.ndarray = (image == GROUND).all(axis=2)
    return found


def test_the_head_stands_in_the_middle_with_ground_around_it(painter: HeadPainter) -> None:
    image = drawn(painter)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert is_ground(image)[0].all() and is_ground(image)[:, 0].all() and is_ground(image)[:, -1].all()
    rows, columns = np.nonzero(~is_ground(image))
    assert abs((columns.min() + columns.max()) / 2 - WIDTH / 2) < 3
    assert 0.6 * HEIGHT < rows.max() - rows.min() < HEIGHT
    inside = ~is_ground(image)[60:160, 70:130]
    assert inside.all()  # no holes


def test_an_open_jaw_shows_the_mouth_and_moves_nothing_above_it(painter: HeadPainter) -> None:
    moved = change(painter, jawOpen=0.8)
    lower, upper = moved[HEIGHT // 2 :] > 40, moved[: HEIGHT // 2] > 40
    assert lower.sum() > 1000 and upper.sum() < 30  # single pixels of the outline
    opened = drawn(painter, jawOpen=0.8)
    dark = [(image[120:200, 80:120].sum(axis=2) < 200).sum() for image in (opened, drawn(painter))]
    assert dark[0] > dark[1] + 150
    assert change(painter, jawOpen=0.4).sum() < moved.sum()


@pytest.mark.parametrize("name", ["eyeBlink", "mouthSmile", "browDown"])
def test_sides_are_the_subjects(painter: HeadPainter, name: str) -> None:
    """The subject's left is on the right of the picture."""
    left, right = change(painter, **{f"{name}Left": 1.0}), change(painter, **{f"{name}Right": 1.0})
    half = WIDTH // 2
    assert left[:, half:].sum() > 5 * left[:, : half - 8].sum() and left[:, half:].max() > 40
    assert right[:, :half].sum() > 5 * right[:, half + 8 :].sum() and right[:, :half].max() > 40


def test_eyes_look_aside(painter: HeadPainter) -> None:
    """Both irises go to the subject's left: to the right of the picture."""

    def blue(image: np.ndarray) -> float:
        blueness = np.clip(image[..., 2] - image[..., 0], 0, None)
        blueness[is_ground(image)] = 0
        return float((blueness.sum(axis=0) * np.arange(WIDTH)).sum() / blueness.sum())

    aside = drawn(painter, eyeLookOutLeft=0.6, eyeLookInRight=0.6)
    assert blue(aside) > blue(drawn(painter)) + 1


def test_it_turns_as_the_conventions_say(painter: HeadPainter) -> None:
    """At yaw > 0 the nose goes to the right edge of the picture, and the ear of the subject's right shows."""
    turned = drawn(painter, yaw=0.6)
    lips = (turned[..., 0] - turned[..., 1] > 50) & ~is_ground(turned)
    _, columns = np.nonzero(lips)
    assert columns.mean() > WIDTH / 2 + 10
    down = drawn(painter, pitch=0.4)
    rows, _ = np.nonzero((down[..., 0] - down[..., 1] > 50) & ~is_ground(down))
    straight = drawn(painter)
    rows_straight, _ = np.nonzero((straight[..., 0] - straight[..., 1] > 50) & ~is_ground(straight))
    assert rows.mean() > rows_straight.mean() + 5


def test_what_is_unknown_rests(painter: HeadPainter) -> None:
    unknown = np.full(len(ARKIT_NAMES), np.nan)
    np.testing.assert_array_equal(painter.draw(unknown, np.eye(3)), drawn(painter))


def test_any_pose_and_weights_beyond_one_can_be_drawn(painter: HeadPainter) -> None:
    random = np.random.default_rng(0)
    for _ in range(12):
        values = random.uniform(0, 1.5, len(ARKIT_NAMES))
        image = painter.draw(values, matrix_from_euler(random.uniform(-3, 3, 3)))
        assert 0.1 < (~is_ground(image)).mean() < 0.9


def test_a_head_at_the_edge_is_seen_from_its_side() -> None:
    """A head that is turned to the camera, wherever it is, looks frontal."""
    head = np.array([np.arctan2(-30, 60), 0, 0, 30, 0, -60.0])
    rotation = seen_rotation(head)
    assert rotation is not None
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(
        seen_rotation(np.array([0.3, 0, 0, np.nan, 0, 0])), matrix_from_euler(np.array([0.3, 0, 0]))
    )
    assert seen_rotation(np.full(6, np.nan)) is None


def fill(corners: list[list[tuple[float, float]]], depth: list[float], both: bool = False) -> np.ndarray:
    """Polygons of one colour each, 100, 200 …, in 20 x 10 pixels."""
    points = np.array([point for polygon in corners for point in polygon], np.float32)
    starts = np.cumsum([0, *(len(polygon) for polygon in corners)])
    faces = np.full((len(corners), 4), -1)
    for number, (start, stop) in enumerate(itertools.pairwise(starts)):
        faces[number, : stop - start] = np.arange(start, stop)
    count = len(corners)
    polygons = Polygons.of(faces, 100.0 * np.arange(1, count + 1), np.zeros(count), np.full(count, both))
    lengths = np.diff(starts)
    return filled(
        polygons, points[:, 0], points[:, 1], np.repeat(depth, lengths).astype(np.float32),
        np.zeros(len(points), np.float32), (20, 10), 0,
    )  # fmt: skip


SQUARE = [(2.0, 1.0), (2.0, 7.0), (9.0, 7.0), (9.0, 1.0)]  # counterclockwise, y down


def test_polygons_cover_the_pixels_whose_middles_they_hold() -> None:
    expected = np.zeros((10, 20), int)
    expected[1:7, 2:9] = 100
    np.testing.assert_array_equal(fill([SQUARE], [5.0]), expected)
    assert not fill([SQUARE[::-1]], [5.0]).any()  # from behind
    np.testing.assert_array_equal(fill([SQUARE[::-1]], [5.0], both=True), expected)
    triangles = fill([[SQUARE[0], SQUARE[1], SQUARE[2]], [SQUARE[0], SQUARE[2], SQUARE[3]]], [5.0, 5.0])
    np.testing.assert_array_equal(triangles > 0, expected > 0)


def test_the_nearest_is_seen_and_edges_of_the_picture_cut() -> None:
    far = [(x + 4, y + 2) for x, y in SQUARE]
    for depth, seen in (([5.0, 6.0], 100), ([6.0, 5.0], 200)):
        assert fill([SQUARE, far], depth)[5, 7] == seen
    beyond = [(-50.0, -50.0), (-50.0, 60.0), (80.0, 60.0), (80.0, -50.0)]
    assert (fill([beyond], [1.0]) == 100).all()
    assert not fill([[(x + 100, y) for x, y in SQUARE]], [1.0]).any()


def test_polygons_that_pass_through_each_other_are_each_seen_where_they_are_nearer() -> None:
    corners = np.array([*SQUARE, *SQUARE], np.float32)
    depth = np.array([4, 4, 6, 6, 5, 5, 5, 5], np.float32)  # the first one goes back to the right
    polygons = Polygons.of(
        np.arange(8).reshape(2, 4), np.array([100.0, 200.0]), np.zeros(2), np.zeros(2, bool)
    )
    got = filled(polygons, corners[:, 0], corners[:, 1], depth, np.zeros(8, np.float32), (20, 10), 0)
    assert (got[1:7, 2:5] == 100).all() and (got[1:7, 6:9] == 200).all()


def test_neighbours_leave_no_pixel_between_them() -> None:
    """However their shared edges lie, all pixels within are covered."""
    random = np.random.default_rng(5)
    across, down = np.meshgrid(np.linspace(0, 20, 9), np.linspace(0, 10, 7))
    x, y = ((grid + random.uniform(-0.6, 0.6, grid.shape)).astype(np.float32) for grid in (across, down))
    x[:, 0], x[:, -1], y[0], y[-1] = -1, 21, -1, 11
    number = np.arange(x.size).reshape(x.shape)
    faces = np.stack(
        [each.ravel() for each in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:])],
        axis=1,
    )
    count = len(faces)
    polygons = Polygons.of(faces, np.ones(count), np.zeros(count), np.zeros(count, bool))
    nothing = np.zeros(x.size, np.float32)
    assert filled(polygons, x.ravel(), y.ravel(), nothing + 5, nothing, (20, 10), 0).all()


def test_a_window_hides_nothing_that_is_seen_through_it() -> None:
    x, y = np.array([*SQUARE, (2, 1), (4, 4)], np.float32).T
    squares = np.array([[0, 1, 2, 3]])
    depth, values = np.ones(6, np.float32), np.zeros(6, np.float32)
    window = Window(slice(0, 1), np.array([4, 5]))
    polygons = Polygons.of(squares, np.ones(1), np.zeros(1), np.zeros(1, bool), (window,))
    assert filled(polygons, x, y, depth, values, (20, 10), 0).any()
    assert not filled(
        polygons, x + np.array([9] * 4 + [0, 0], np.float32), y, depth, values, (20, 10), 0
    ).any()


def test_numbers_run_evenly_over_a_polygon() -> None:
    x, y = (np.array(values, np.float32) for values in zip(*SQUARE, strict=True))
    polygons = Polygons.of(np.arange(4)[None], np.zeros(1), np.zeros(1), np.zeros(1, bool))
    got = filled(polygons, x, y, np.ones(4, np.float32), 100 * x + 10 * y, (20, 10), 0)
    rows, columns = np.mgrid[1:7, 2:9]
    assert np.abs(got[1:7, 2:9] - (100 * (columns + 0.5) + 10 * (rows + 0.5))).max() <= 1


def test_a_tongue_put_out_is_seen_before_lips_and_ground(painter: HeadPainter) -> None:
    for yaw in (0.0, np.pi / 2):
        without = drawn(painter, yaw=yaw, jawOpen=0.35)
        changed = (drawn(painter, yaw=yaw, jawOpen=0.35, tongueOut=1.0) != without).any(axis=2)
        assert changed.sum() > 15
    assert (changed & is_ground(without)).sum() > 5  # from the side: beyond the lips
    np.testing.assert_array_equal(drawn(painter, tongueOut=0.2), drawn(painter))  # lips are before it
