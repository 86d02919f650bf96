"""FACS action units from ARKit coefficients: the table, and the sums that it stands for.

In: coefficients. Out: intensities 0..5 and presences of the action units that OpenFace 2.x reports, and of
AU19 where a clip has the tongue. Which
shape is which unit is our reading of Ekman, Friesen & Hager, "Facial Action Coding System" (2002), and of
Apple's ARFaceAnchor.BlendShapeLocation; how several shapes become one unit, the scale and the threshold are
ours.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.coefficients import SHAPE_NAMES

FULL = 5.0  # intensity at a coefficient of 1: E, the highest of FACS' five grades
PRESENT = 1.0  # lowest intensity of a unit that is there: A, a trace; coefficients below .2 are often rest


@dataclasses.dataclass(frozen=True)
class ActionUnit:
    """How strongly a unit acts: that of the strongest of its shapes, less what takes from it."""

    code: str  # "AU01"
    name: str  # FACS' own
    shapes: tuple[str, ...]  # ARKit names without a side; a name with sides counts with the stronger one
    less: str = ""  # a shape that is subtracted from those before the strongest is taken
    measured: bool = True  # False: OpenFace reports its presence alone


ACTION_UNITS: tuple[ActionUnit, ...] = (
    ActionUnit("AU01", "inner brow raiser", ("browInnerUp",)),
    ActionUnit("AU02", "outer brow raiser", ("browOuterUp",)),
    ActionUnit("AU04", "brow lowerer", ("browDown",)),
    ActionUnit("AU05", "upper lid raiser", ("eyeWide",)),
    ActionUnit("AU06", "cheek raiser", ("cheekSquint",)),
    ActionUnit("AU07", "lid tightener", ("eyeSquint",)),
    ActionUnit("AU09", "nose wrinkler", ("noseSneer",)),
    ActionUnit("AU10", "upper lip raiser", ("mouthUpperUp",)),
    ActionUnit("AU12", "lip corner puller", ("mouthSmile",)),
    ActionUnit("AU14", "dimpler", ("mouthDimple",)),
    ActionUnit("AU15", "lip corner depressor", ("mouthFrown",)),
    ActionUnit("AU17", "chin raiser", ("mouthShrugLower",)),
    ActionUnit("AU19", "tongue show", ("tongueOut",)),  # OpenFace has none: only where a clip has the tongue
    ActionUnit("AU20", "lip stretcher", ("mouthStretch",)),
    ActionUnit("AU23", "lip tightener", ("mouthPress",)),
    ActionUnit(
        "AU25", "lips part", ("jawOpen", "mouthLowerDown", "mouthUpperUp", "mouthFunnel"), "mouthClose"
    ),
    ActionUnit("AU26", "jaw drop", ("jawOpen",)),
    ActionUnit("AU28", "lip suck", ("mouthRollLower", "mouthRollUpper"), measured=False),
    ActionUnit("AU45", "blink", ("eyeBlink",)),
)


def columns_of(shape: str) -> list[int]:
    """Columns of a shape among SHAPE_NAMES: its own, or those of its two sides.

    Raises:
        KeyError: there is no such shape.
    """
    found = [k for k, name in enumerate(SHAPE_NAMES) if name in (shape, f"{shape}Left", f"{shape}Right")]
    if not found:
        raise KeyError(shape)
    return found


def units_of(shapes: tuple[str, ...]) -> tuple[ActionUnit, ...]:
    """The units of a clip with the coefficients `shapes`, in the order of ACTION_UNITS."""
    there = range(len(shapes))
    return tuple(
        unit
        for unit in ACTION_UNITS
        if all(column in there for shape in unit.shapes for column in columns_of(shape))
    )


def intensities(coefficients: np.ndarray) -> np.ndarray:
    """float64 [N, U], 0..5, in the order of `units_of`.

    A unit of which any shape is unknown is unknown, because an unknown one may be the strongest.

    Args:
        coefficients: float [N, S], `CoefficientTable.shape_names` order; NaN where unknown.
    """
    values = np.asarray(coefficients, np.float64)
    units = units_of(SHAPE_NAMES[: values.shape[1]])
    result = np.empty((len(values), len(units)))
    for column, unit in enumerate(units):
        less = values[:, columns_of(unit.less)].max(axis=1) if unit.less else np.zeros(len(values))
        shapes = [k for shape in unit.shapes for k in columns_of(shape)]
        result[:, column] = np.clip(values[:, shapes].max(axis=1) - less, 0.0, 1.0) * FULL
    return result


def presences(strengths: np.ndarray) -> np.ndarray:
    """float64, 1 where a unit is there and 0 where it is not, of intensities of any shape; NaN stays."""
    return np.where(np.isnan(strengths), np.nan, (strengths >= PRESENT).astype(np.float64))
