"""Resolutions and channel widths of pyramids of convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facemorph.errors import ConfigError

SMALLEST, LEAST, MOST = 4, 16, 1024
PUBLISHED = (32_768, 512)  # StyleGAN2's: 512 up to 64 pixels, 256 at 128, 128 at 256
Widths = Mapping[int, int] | Sequence[int]


def scales(resolution: int, where: str) -> list[int]:
    """Resolutions from 4 up to this one.

    Args:
        resolution: A power of two from 16 to 1024.
        where: Config key of the network, for the error.

    Raises:
        ConfigError: It is none.

    >>> scales(32, "system.generator")
    [4, 8, 16, 32]
    """
    possible = [1 << power for power in range(2, 11)]
    if resolution not in possible or resolution < LEAST:
        raise ConfigError(
            "the resolution does not fit the network",
            where=f"{where}.resolution",
            expected=f"a power of two from {LEAST} to {MOST}",
            found=resolution,
        )
    return [one for one in possible if one <= resolution]


def channel_widths(resolution: int, widths: Widths, where: str) -> dict[int, int]:
    """Channels at each resolution from 4 up to this one.

    Args:
        resolution: A power of two from 16 to 1024.
        widths: A table from each resolution to its channels, or ``(base, most)``: base over the
            resolution, but not more than ``most``.
        where: Config key of the network, for the error.

    Raises:
        ConfigError: The resolution is wrong, or a width is missing or not positive.

    >>> channel_widths(16, (256, 32), "system.generator")
    {4: 32, 8: 32, 16: 16}
    """
    wanted = scales(resolution, where)
    key = f"{where}.widths"
    if isinstance(widths, Mapping):
        table = {int(one): int(width) for one, width in widths.items()}
        lacking = [one for one in wanted if one not in table]
        if lacking:
            raise ConfigError(
                "widths are missing",
                where=key,
                expected=f"one for each of {', '.join(map(str, wanted))}",
                found=f"none for {', '.join(map(str, lacking))}",
            )
    else:
        if len(widths) != 2:
            raise ConfigError(
                "the widths cannot be read",
                where=key,
                expected="a table, or two numbers: base and most",
                found=list(widths),
            )
        base, most = (int(one) for one in widths)
        table = {one: min(base // one, most) for one in wanted}
    wrong = {one: table[one] for one in wanted if table[one] < 1}
    if wrong:
        raise ConfigError("a width is not positive", where=key, expected=">= 1", found=wrong)
    return {one: table[one] for one in wanted}
