"""A clip in the channels of a rig: sums, gains, offsets, limits, and what is unknown."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.exporting.rigs.reading import parse_rig, preset_names, read_rig
from facecap_batch.exporting.rigs.rig import in_channels
from tests.support.animations import constant_rate, with_tongue

RIG = b"""
limits = [0.0, 1.0]
also = ["mine"]

[channels]
jawOpen = "jawOpen"
Wide = { sum = { jawOpen = 0.5, mouthFunnel = -0.25 }, gain = 3.0, offset = 0.1 }
Turn = { sum = { headYaw = 1.0 }, limits = [-3.0, 3.0] }
Mine = "mine"
Tongue = "tongueOut"
Maybe = { sum = { jawLeft = 1.0 }, confirmed = false }
Both = { sum = { eyeBlinkLeft = 0.5, eyeBlinkRight = 0.5 }, unless = ["One"] }
One = "eyeBlinkLeft"
"""


def column(table: CoefficientTable, name: str) -> np.ndarray:
    return table.coefficients[:, ARKIT_NAMES.index(name)].astype(np.float64)


def test_a_channel_is_gain_times_sum_plus_offset_within_limits() -> None:
    table = constant_rate(Fraction(30), 60)
    channels = in_channels(table, parse_rig(RIG, "mine"))
    found = dict(zip(channels.names, channels.values.T, strict=True))
    np.testing.assert_array_equal(found["jawOpen"], table.coefficients[:, ARKIT_NAMES.index("jawOpen")])
    expected = 3.0 * (0.5 * column(table, "jawOpen") - 0.25 * column(table, "mouthFunnel")) + 0.1
    assert expected.max() > 1.0 and expected.min() < 0.0  # the limits are at work
    np.testing.assert_allclose(found["Wide"], np.clip(expected, 0, 1), atol=1e-6)
    np.testing.assert_allclose(found["Turn"], table.head[:, 0], atol=1e-7)
    assert channels.slopes[channels.names.index("Wide"), ARKIT_NAMES.index("mouthFunnel")] == -0.75


def test_what_is_not_used_is_left_out() -> None:
    table = constant_rate(Fraction(30), 3)
    channels = in_channels(table, parse_rig(RIG, "mine"))
    assert channels.names == ("jawOpen", "Wide", "Turn", "One")
    assert channels.lost == ("Mine", "Tongue")  # no such columns in this clip
    there = in_channels(table, parse_rig(RIG, "mine"), frozenset({"Both", "jawOpen"}))
    assert there.names == ("jawOpen", "Both")


def test_a_regressors_own_outputs_are_sources() -> None:
    table = constant_rate(Fraction(30), 3)
    extra = np.array([[0.2], [0.4], [0.6]], np.float32)
    channels = in_channels(table.replace(extra_names=("mine",), extra=extra), parse_rig(RIG, "x"))
    np.testing.assert_array_equal(channels.values[:, channels.names.index("Mine")], extra[:, 0])


def test_the_tongue_is_a_coefficient_where_the_regressor_has_it() -> None:
    table = with_tongue(constant_rate(Fraction(30), 3))
    channels = in_channels(table, parse_rig(RIG, "x"))
    place = channels.names.index("Tongue")
    np.testing.assert_array_equal(channels.values[:, place], table.coefficients[:, -1])
    assert channels.slopes.shape[1] == 52 and channels.slopes[place].tolist() == [0.0] * 51 + [1.0]
    default = in_channels(table, read_rig(None))
    assert default.names == table.shape_names and default.lost == ()


def test_unknown_stays_unknown_and_a_column_without_any_value_counts_as_nothing() -> None:
    table = constant_rate(Fraction(30), 4)
    table.coefficients[1, ARKIT_NAMES.index("mouthFunnel")] = np.nan
    table.coefficients[:, ARKIT_NAMES.index("eyeBlinkRight")] = np.nan
    channels = in_channels(table, parse_rig(RIG, "mine"), frozenset({"Wide", "Both"}))
    assert np.isnan(channels.values[:, 0]).tolist() == [False, True, False, False]
    np.testing.assert_allclose(channels.values[:, 1], 0.5 * column(table, "eyeBlinkLeft"), atol=1e-6)


def test_the_default_rig_is_the_table_itself() -> None:
    table = constant_rate(Fraction(30), 20)
    channels = in_channels(table, read_rig(None))
    assert channels.names == ARKIT_NAMES and channels.lost == ("tongueOut",)
    np.testing.assert_array_equal(channels.values, table.coefficients)
    np.testing.assert_array_equal(channels.slopes, np.eye(51))


def test_every_preset_says_its_source_and_swaps_no_sides() -> None:
    """A channel of one side takes columns of that side; Apple's own names prove the sides of the 52."""
    sides = {"left": ("Left", "_L", "L"), "right": ("Right", "_R", "R")}
    for name in preset_names():
        rig = read_rig(name)
        assert rig.title and rig.sources, name
        assert rig.channels
        for channel in rig.channels:
            taken = {side for side in sides for column, _ in channel.terms if column.endswith(sides[side][0])}
            if len(taken) != 1 or channel.name.lower().find("look") >= 0 or channel.name.startswith("Eye_"):
                continue
            (side,) = taken
            other = "right" if side == "left" else "left"
            assert channel.name.endswith(sides[side]), (name, channel)
            assert not channel.name.endswith(sides[other][:2]), (name, channel)


def test_the_gaze_of_presets_goes_to_the_subjects_own_side() -> None:
    expected = {
        "cc4": {
            "Eye_L_Look_L": "eyeLookOutLeft",
            "Eye_L_Look_R": "eyeLookInLeft",
            "Eye_R_Look_L": "eyeLookInRight",
        },
        "sranipal": {"Eye_Left_Right": "eyeLookInLeft", "Eye_Right_Right": "eyeLookOutRight"},
        "metahuman-controls": {
            "CTRL_expressions_eyeLookLeftL": "eyeLookOutLeft",
            "CTRL_expressions_eyeLookLeftR": "eyeLookInRight",
        },
        "rocketbox": {"blendShape1.AK_13_EyeLookInLeft": "eyeLookInLeft"},
    }
    for name, pairs in expected.items():
        terms = {channel.name: channel.terms for channel in read_rig(name).channels}
        for channel, column_name in pairs.items():
            assert terms[channel] == ((column_name, 1.0),), (name, channel)
    left = next(channel for channel in read_rig("vrm").channels if channel.name == "lookLeft")
    assert {column_name for column_name, _ in left.terms} == {"eyeLookOutLeft", "eyeLookInRight"}
