"""The authors' experiment files (YAML), read key by key with every value checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from facemorph.errors import DataError
from facemorph.faces.files.landmark_formats import MAX_BYTES

SECTIONS = ("initial_conditions", "loss", "network", "optimizer", "reconstruct", "training")


@dataclass
class Section:
    """One mapping of the authors' file; remembers which keys were asked for."""

    path: Path
    key: str
    content: Mapping[str, Any]
    asked: set[str] = field(default_factory=set)

    def take(self, name: str, default: Any = None) -> Any:
        """The value of a key, or the default where it is missing or empty."""
        self.asked.add(name)
        value = self.content.get(name)
        return default if value is None else value

    def number(self, name: str, default: float, *, least: float = 0.0) -> float:
        """A finite number of at least ``least``; ``1e4`` in YAML is a word, and is taken as a
        number too.

        Raises:
            DataError: It is none.
        """
        return number_at(self.take(name, default), f"{self.path}, {self.key}.{name}", least)

    def count(self, name: str, default: int, *, least: int = 1) -> int:
        """A whole number of at least ``least``.

        Raises:
            DataError: It is none.
        """
        value = self.number(name, default, least=least)
        if value != int(value):
            raise DataError(
                "not a whole number", where=f"{self.path}, {self.key}.{name}", found=value
            )
        return int(value)

    def numbers(self, name: str, default: list[float], *, least: float, most: float) -> list[float]:
        """A list of numbers between ``least`` and ``most``.

        Raises:
            DataError: It is none.
        """
        where = f"{self.path}, {self.key}.{name}"
        value = self.take(name, default)
        if not isinstance(value, list) or len(value) > 64:
            raise DataError("not a list of numbers", where=where, found=type(value).__name__)
        return [
            number_at(item, f"{where}[{index}]", least, most) for index, item in enumerate(value)
        ]

    def section(self, name: str) -> Section:
        """The mapping under a key; an empty one where it is missing.

        Raises:
            DataError: It is no mapping.
        """
        value = self.take(name, {})
        where = f"{self.key}.{name}" if self.key else name
        if not isinstance(value, dict):
            raise DataError(
                "not a mapping", where=f"{self.path}, {where}", found=type(value).__name__
            )
        return Section(self.path, where, value)

    @property
    def unused(self) -> list[str]:
        """Keys that nobody asked for."""
        return [
            f"{self.key}.{name}" if self.key else str(name)
            for name in self.content
            if name not in self.asked
        ]


def read_experiment(path: Path) -> Mapping[str, Any]:
    """The content of an experiment file.

    Raises:
        DataError: It cannot be read, is too large, or holds no mapping.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(
                "too large for an experiment file",
                where=path,
                expected=f"at most {MAX_BYTES} bytes",
            )
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (
        OSError,
        UnicodeDecodeError,
        yaml.YAMLError,
        ValueError,
        RecursionError,
        TypeError,
        KeyError,
    ) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "strerror", None) or getattr(error, "problem", None) or str(error)
        raise DataError(
            "not a readable experiment file",
            where=f"{path}, line {mark.line + 1}" if mark else path,
            found=str(reason)[:80],
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            "not an experiment file of ifmorph",
            where=path,
            found=type(content).__name__,
            expected="a mapping with " + ", ".join(SECTIONS),
        )
    return content


def number_at(value: Any, where: str, least: float, most: float = math.inf) -> float:
    """A finite number within limits.

    Raises:
        DataError: The value is none.
    """
    try:
        number = (
            math.nan
            if isinstance(value, bool) or not isinstance(value, (int, float, str))
            else float(value)
        )
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or not least <= number <= most:
        limit = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
        found = repr(value)[:40] if isinstance(value, (int, float, str)) else type(value).__name__
        raise DataError("not a usable number", where=where, expected=limit, found=found)
    return number
