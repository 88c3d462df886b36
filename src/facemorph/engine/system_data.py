"""What a system is given, where it can be trained with that: its data, its numbers."""

from __future__ import annotations

from typing import TypeVar

from lightning.pytorch import LightningModule

from facemorph.errors import ConfigError

Data = TypeVar("Data")


def data_of(
    system: LightningModule,
    kinds: type[Data] | tuple[type[Data], ...],
    needs: str,
    expected: str,
) -> Data:
    """The data module that a system is trained with.

    Args:
        system: In a trainer.
        kinds: Class that it must have, or one of several.
        needs: What the system needs, for the message.
        expected: How that is configured.

    Raises:
        ConfigError: It is of another class.
    """
    data: object = system.trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, kinds):
        raise ConfigError(
            f"this system needs {needs}",
            where="data",
            expected=expected,
            found=type(data).__name__,
        )
    return data


def check_ranges(*rows: tuple[str, float, float, float]) -> None:
    """See that numbers of a system are in their ranges.

    Args:
        rows: Name, number, lowest and highest.

    Raises:
        ConfigError: One is not.
    """
    for name, value, low, high in rows:
        if not low <= value <= high:
            raise ConfigError(
                "out of range", where=f"system.{name}", expected=f"{low} to {high}", found=value
            )
