"""Identities of hm08: MakeHuman's targets and how a person is mixed from them.

In: a folder of targets (``macrodetails``, ``head``, ``eyes``, ...) and a random generator. Out: targets by
name, and the weights of one person. A person is a mean adult (`AVERAGE`) plus weighted differences: ancestry,
sex, age, weight, many details of the face, and what differs between its halves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import numpy as np

from facecap_batch.training.heads.hm08.targets import Target, find_target, read_target, stem

DETAILS = (
    "head", "forehead", "eyebrows", "eyes", "nose", "cheek", "mouth", "chin", "ears", "neck", "asym",
)  # fmt: skip
ANCESTRIES, SEXES = ("african", "asian", "caucasian"), ("female", "male")
AGES = {"baby": 1.0, "child": 11.0, "young": 25.0, "old": 80.0}  # years that MakeHuman's targets show
MUSCLES, WEIGHTS = ("minmuscle", "averagemuscle", "maxmuscle"), ("minweight", "averageweight", "maxweight")
MACRO_NAMES = (
    *(f"{a}-{s}-{g}" for a, s, g in product(ANCESTRIES, SEXES, AGES)),
    *(f"universal-{s}-{g}-{m}-{w}" for s, g, m, w in product(SEXES, AGES, MUSCLES, WEIGHTS)),
)
# Ends of a slider: how the names of opposite targets end.
OPPOSITES = (
    ("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"), ("concave", "convex"),
    ("compress", "uncompress"),
)  # fmt: skip
# Not features of a face, or of no real face: the whole head moved elsewhere, elves' ears.
EXCLUDED = re.compile(r"head-(trans|angle)|neck-(trans|scale-vert)|measure-|pointed|asymm-|ear-trans")
OFF_CENTRE = 0.55  # share of sliders that are off the middle at all
SPREAD = {"head": 0.26, "mouth": 0.28, "ears": 0.4}  # standard deviations of slider positions, by folder
SPREAD_ELSEWHERE = 0.32
WITHOUT_OPPOSITE = 0.25  # share of people with each target that has no opposite (oval head, triangular chin)
MAX_POSITION = 0.9  # of a slider
MIN_WEIGHT = 0.01  # of a target; less is left out
# Asymmetry: share of people, standard deviation between the sliders of their halves.
ASYMMETRY = ((0.4, 0.1), (0.35, 0.25), (0.25, 0.5))


def _macro(sexes: dict[str, float], ages: dict[str, float], ancestries: dict[str, float],
           muscles: dict[str, float], weights: dict[str, float]) -> dict[str, float]:  # fmt: skip
    """Weights of macro targets as MakeHuman mixes them; each argument's values sum to 1."""
    found = {}
    for (sex, s), (age, a) in product(sexes.items(), ages.items()):
        for ancestry, share in ancestries.items():
            found[f"{ancestry}-{sex}-{age}"] = s * a * share
        for (muscle, m), (weight, w) in product(muscles.items(), weights.items()):
            found[f"universal-{sex}-{age}-{muscle}-{weight}"] = s * a * m * w
    return {name: value for name, value in found.items() if value > 0}


# The mean adult, whose head is the family's neutral one.
AVERAGE = _macro(
    {"female": 0.5, "male": 0.5}, {"young": 1.0}, dict.fromkeys(ANCESTRIES, 1 / 3), {"averagemuscle": 1.0},
    {"averageweight": 1.0},
)  # fmt: skip


def read(folder: Path, vertices: int) -> tuple[list[str], list[Target]]:
    """All targets that a face can have, for a base mesh of so many `vertices`.

    Returns:
        Names, macro targets first and then details as ``folder/name``, and the targets.

    Raises:
        FileNotFoundError: a macro target is missing.
        ValueError: a target is damaged; the message names file and line.
    """
    names = [*MACRO_NAMES]
    paths = [find_target(folder / "macrodetails", name) for name in names]
    for detail in DETAILS:
        for path in sorted((folder / detail).glob("*.target*")):
            if not EXCLUDED.search(stem(path)):
                names.append(f"{detail}/{stem(path)}")
                paths.append(path)
    return names, [read_target(path, vertices) for path in paths]


def _mixed(position: float, names: tuple[str, str, str]) -> dict[str, float]:
    """Weights of the minimum, the average and the maximum at `position` -1..1."""
    ends = {names[0]: max(-position, 0.0), names[2]: max(position, 0.0)}
    return {names[1]: 1 - sum(ends.values()), **ends}


def age(rng: np.random.Generator) -> float:
    """A random age in years: mostly adults, many children and old people, hardly any babies."""
    draw = rng.random()
    if draw < 0.01:
        return float(rng.uniform(1, 4))
    if draw < 0.11:
        return float(rng.uniform(4, 15))
    return float(rng.uniform(15, 45) if draw < 0.65 else rng.uniform(45, 85))


def macro(rng: np.random.Generator, years: float, male: float) -> dict[str, float]:
    """Weights of the macro targets of a random person of `years`; `male` is 0 (female) to 1 (male)."""
    known_years = np.array(list(AGES.values()))
    shares = {
        name: float(np.interp(years, known_years, np.eye(len(known_years))[k])) for k, name in enumerate(AGES)
    }
    ancestry = rng.dirichlet([0.45] * len(ANCESTRIES))
    return _macro(
        {"female": 1 - male, "male": male},
        shares,
        dict(zip(ANCESTRIES, ancestry.tolist(), strict=True)),
        _mixed(float(np.clip(rng.normal(0, 0.4), -1, 1)), MUSCLES),
        _mixed(float(np.clip(rng.normal(0, 0.5), -1, 1)), WEIGHTS),
    )


def sliders(names: Iterable[str]) -> dict[str, tuple[str | None, str]]:
    """The detail targets as sliders: name without its end -> (target of the lower end, of the upper one).

    A target without an opposite is the upper end of a slider of its own name.
    """
    known = {name for name in names if "/" in name}
    found: dict[str, tuple[str | None, str]] = {}
    taken: set[str] = set()
    for low, high in OPPOSITES:
        for name in sorted(known):
            if name.endswith("-" + low):
                other = name.removesuffix(low) + high
                if other in known:
                    found[name.removesuffix("-" + low)] = (name, other)
                    taken |= {name, other}
    for name in sorted(known - taken):
        found[name] = (None, name)
    return found


def _at_position(slider: tuple[str | None, str], position: float) -> tuple[str, float] | None:
    """The target and its weight that set `slider` to `position` (-1..1)."""
    low, high = slider
    if position >= 0:
        return high, position
    return (low, -position) if low else None


def details(rng: np.random.Generator, names: Iterable[str]) -> dict[str, float]:
    """Weights of the detail targets of a random face.

    Sliders of the left and the right half differ by an asymmetry that is the person's own; the asym targets
    are as strong as that.
    """
    chance, amounts = zip(*ASYMMETRY, strict=True)
    asymmetry = float(rng.choice(amounts, p=chance))
    found: dict[str, float] = {}

    def put(slider: tuple[str | None, str], position: float) -> None:
        weighted = _at_position(slider, float(np.clip(position, -MAX_POSITION, MAX_POSITION)))
        if weighted and weighted[1] > MIN_WEIGHT:
            found[weighted[0]] = weighted[1]

    known = sliders(names)
    for name, slider in known.items():
        folder, bare = name.split("/")
        if bare.startswith("r-"):
            continue  # set with the left one
        if folder == "asym":
            if bare.endswith("-l"):  # its opposite is -r, the mirror image
                both = (f"{folder}/{bare.removesuffix('l')}r", slider[1])
                put(both, rng.normal(0, asymmetry) if rng.random() < OFF_CENTRE else 0.0)
            continue
        if slider[0] is None:
            position = float(rng.uniform(0, 0.6)) if rng.random() < WITHOUT_OPPOSITE else 0.0
        else:
            position = float(rng.normal(0, SPREAD.get(folder, SPREAD_ELSEWHERE)))
            position *= rng.random() < OFF_CENTRE
        if bare.startswith("l-"):
            other = known[f"{folder}/r-{bare.removeprefix('l-')}"]
            apart = float(rng.normal(0, asymmetry))
            put(slider, position + apart / 2)
            put(other, position - apart / 2)
        else:
            put(slider, position)
    return found
