"""What is checked before a morph begins: options, device and output, so that no work is done in
vain.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facemorph.errors import ConfigError, OutputError

if TYPE_CHECKING:
    import torch

COMPANIONS = ("metrics.json", "sheet.png", "report.html", "recipe.yaml")


def beside(output: Path, ending: str) -> Path:
    """Path of a companion of ``output``: ``dir/stem.ending``."""
    return output.with_name(f"{output.stem}.{ending}")


def torch_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one.

    Raises:
        ConfigError: There is no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            "no such device", where="device", expected="auto, cpu or cuda", found=name
        ) from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(
            "no such device", where="device", expected="auto, cpu or cuda", found=name
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            "no such CUDA device here",
            where="device",
            found=name,
            expected=f"one of {torch.cuda.device_count()}",
            remedy="Use --device cpu.",
        )
    return device


def torch_devices(name: str) -> list[str]:
    """The devices of processes that take turns: every GPU for ``cuda`` and ``ddp``, else the one
    named.

    Raises:
        ConfigError: There is no such device.
    """
    import torch

    device = torch_device("cuda" if name == "ddp" else name)
    if device.type == "cuda" and device.index is None:
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [str(device)]


def check_output(output: str | Path, inputs: Iterable[object]) -> Path:
    """Check that a morph and its companions can be written and overwrite none of its inputs.

    Args:
        output: The morph's path.
        inputs: Files that it is made of; whatever is no path is left aside.

    Returns:
        The path, with a name even for ``.``.

    Raises:
        OutputError: It cannot be written, or an input would be lost.
    """
    output = Path(output)
    if output.name in ("", ".."):
        output = Path(os.path.abspath(output))  # companions are named after it
    paths = (output, *(beside(output, ending) for ending in COMPANIONS))
    written = {os.path.realpath(path) for path in paths}
    folder = None if output.suffix else os.path.realpath(output)
    for item in inputs:
        if not isinstance(item, (str, Path)):
            continue
        real = Path(os.path.realpath(item))
        if str(real) in written or (str(real.parent) == folder and real.match("frame_*.png")):
            raise OutputError(
                "the output would overwrite this input",
                where=item,
                remedy="Choose another path with -o.",
            )
    check_writable(output)
    return output


def check_kind(output: str | Path, kinds: Sequence[str], *, folder: bool = True) -> None:
    """See that an output has one of some suffixes.

    Args:
        output: Its path.
        kinds: The suffixes, in lower case.
        folder: Whether a path without a suffix is a folder, and one of the kinds.

    Raises:
        OutputError: It has another.
    """
    suffix = Path(output).suffix.lower()
    if suffix in kinds or (folder and not suffix):
        return
    raise OutputError(
        "unknown kind of output",
        where=output,
        expected=" ".join(kinds) + (", or a folder" if folder else ""),
        found=suffix or "no suffix",
        remedy="Choose one of these.",
    )


def check_writable(output: Path) -> None:
    """Make the output's folder and see that it can be written, before any work is done.

    Raises:
        OutputError: It cannot be.
    """
    folder = output.parent
    probe = folder / f".facemorph.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        if output.exists() and output.is_dir() == bool(output.suffix):
            raise OSError(
                errno.EEXIST, "a folder has the name of a file, or a file that of a folder"
            )
    except OSError as error:
        raise OutputError(
            "the output cannot be written",
            where=output,
            found=error.strerror or str(error),
            remedy="Choose another path with -o.",
        ) from error


def make_folders(output: Path, names: Iterable[str]) -> None:
    """Make folders inside of an output's folder.

    Raises:
        OutputError: One cannot be made.
    """
    try:
        for name in set(names):
            (output / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "the output's folders cannot be made", where=output, found=error.strerror
        ) from error
