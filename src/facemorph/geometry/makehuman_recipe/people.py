"""Random plausible people from MakeHuman's sliders, and their principal components."""

from __future__ import annotations

import re

import numpy as np

DETAIL_FOLDERS = (
    "cheek",
    "chin",
    "ears",
    "eyebrows",
    "eyes",
    "forehead",
    "head",
    "mouth",
    "neck",
    "nose",
    "asym",
)
SLIDER_SIGMA = {"head": 0.09, "neck": 0.15, "forehead": 0.15, "ears": 0.2, "asym": 0.15}
NEGATIVE = ("decr", "down", "in", "backward", "concave", "compress")
DIRECTIONS = r"-(incr|decr|up|down|in|out|forward|backward|convex|concave|compress|uncompress)$"
LEFT_OUT = ("ear-shape", "trans-", "head-angle")
ORIGINS = ("caucasian", "african", "asian")


class People:
    """Draws people: a mixture of sex, age, origin, weight and muscle, and normally distributed
    sliders.

    Args:
        base: ``(V, 3)`` the base mesh.
        macro: Offsets ``(V, 3)`` by the name of the macro target.
        detail: The same by folder and name of the slider's target.
        seed: Of the random numbers.
    """

    def __init__(
        self,
        base: np.ndarray,
        macro: dict[str, np.ndarray],
        detail: dict[str, dict[str, np.ndarray]],
        seed: int = 0,
    ) -> None:
        self.base, self.macro, self.detail = base, macro, detail
        self.random = np.random.default_rng(seed)
        self.sliders: dict[tuple[str, str], list[str]] = {}
        for folder, targets in detail.items():
            for name in targets:
                if not any(word in name for word in LEFT_OUT):
                    stem = re.sub(r"^[lr]-", "", re.sub(DIRECTIONS, "", name))
                    self.sliders.setdefault((folder, stem), []).append(name)

    def draw(self) -> np.ndarray:
        """One person ``(V, 3)``."""
        return self.base + self._macro() + self._sliders()

    def _macro(self) -> np.ndarray:
        offsets = np.zeros_like(self.base)
        male, old = self.random.uniform(), self.random.beta(1.2, 2.5)
        weight, muscle = self.random.uniform(-0.8, 0.8), self.random.uniform(-0.5, 0.5)
        origins = dict(zip(ORIGINS, self.random.dirichlet([0.6] * 3), strict=True))
        muscles = {
            "averagemuscle": 1 - abs(muscle),
            ("maxmuscle" if muscle > 0 else "minmuscle"): abs(muscle),
        }
        weights = {
            "averageweight": 1 - abs(weight),
            ("maxweight" if weight > 0 else "minweight"): abs(weight),
        }
        for sex, of_sex in (("female", 1 - male), ("male", male)):
            for age, of_age in (("young", 1 - old), ("old", old)):
                part = of_sex * of_age
                for origin, share in origins.items():
                    offsets += part * share * self.macro[f"{origin}-{sex}-{age}"]
                for muscle_name, of_muscle in muscles.items():
                    for weight_name, of_weight in weights.items():
                        target = self.macro[f"universal-{sex}-{age}-{muscle_name}-{weight_name}"]
                        offsets += part * of_muscle * of_weight * target
        return offsets

    def _sliders(self) -> np.ndarray:
        offsets = np.zeros_like(self.base)
        for (folder, _), names in self.sliders.items():
            sigma = SLIDER_SIGMA.get(folder, 0.28)
            common = np.clip(self.random.normal() * sigma, -1, 1)
            sides: dict[str, list[str]] = {"l-": [], "r-": [], "": []}
            for name in names:
                sides[name[:2] if name[:2] in ("l-", "r-") else ""].append(name)
            for side, members in sides.items():
                value = (
                    common
                    if not side
                    else np.clip(common + self.random.normal() * sigma * 0.15, -1, 1)
                )
                negative = [name for name in members if name.rsplit("-", 1)[-1] in NEGATIVE]
                pool = [name for name in members if name not in negative] if value > 0 else negative
                if pool:
                    strength = abs(value) * (0.3 if folder == "asym" else 1.0)
                    offsets += strength * self.detail[folder][pool[self.random.integers(len(pool))]]
        return offsets


def average_young(base: np.ndarray, macro: dict[str, np.ndarray]) -> np.ndarray:
    """The young adult in the middle of sexes and origins ``(V, 3)``."""
    young = (
        sum(
            macro[f"universal-{sex}-young-averagemuscle-averageweight"]
            for sex in ("female", "male")
        )
        / 2
    )
    young = (
        young
        + sum(macro[f"{origin}-{sex}-young"] for origin in ORIGINS for sex in ("female", "male"))
        / 6
    )
    return base + young


def principal_components(
    samples: np.ndarray, mirror: np.ndarray, modes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``(P, 3)`` and components ``(modes, P, 3)``, one standard deviation each, with the
    mirror images.

    The sign of a component is open: another linear algebra library may turn it round.

    Args:
        samples: ``(N, P, 3)``.
        mirror: ``(P,)`` the point on the other side.
        modes: How many components.
    """
    data = np.concatenate([samples, samples[:, mirror] * [-1, 1, 1]])
    mean = data.mean(0)
    flat = (data - mean).reshape(len(data), -1)
    _, vectors = np.linalg.eigh(flat @ flat.T)
    vectors = vectors[:, ::-1][:, :modes]
    return mean, (vectors.T @ flat / np.sqrt(len(data) - 1)).reshape(modes, -1, 3)
