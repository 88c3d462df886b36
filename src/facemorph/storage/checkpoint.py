"""Write, read and trust checkpoints: whole or not at all, never pickled code, checked before use.

`save_atomic` is the only writer: a part beside the target, flushed to the disk, then renamed over
it, so that a kill or a full disk leaves the old file as it was. `load_checkpoint` is the only
reader of ``.ckpt`` and third-party ``.pth`` files and never runs code from them. A *release folder*
holds what is needed to use a system, not to train it further: ``model.safetensors``,
``config.yaml``, ``card.yaml`` and ``MANIFEST.json`` with their sha256.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from facemorph.config.targets import present_name
from facemorph.errors import CheckpointError, ChecksumError, ConfigError
from facemorph.storage.bounded_builds import build_for
from facemorph.storage.files import MEGABYTE, read_json, write_atomic
from facemorph.storage.release_folders import check_new_folder, write_release
from facemorph.storage.runs import latest_checkpoint

Reader = Callable[[Path], Any]
RECORD = "facemorph"  # key of a checkpoint's config, versions and seed
AVERAGES = "averages"  # key of the EMA callback's state, see facemorph.training.ema
LFS_MARK = b"version https://git-lfs.github.com/spec/"
RELEASE_FILES = ("model.safetensors", "config.yaml", "card.yaml")


def save_atomic(content: Any, path: str | Path) -> None:
    """Write tensors and plain containers with `torch.save`, whole or not at all.

    Raises:
        CheckpointError: The disk is full, or the folder cannot be written; the old file is as it
            was.
    """
    write_atomic(path, lambda file: torch.save(content, file), size=_num_bytes(content))


def _num_bytes(content: Any) -> int:
    if isinstance(content, Tensor):
        return content.numel() * content.element_size()
    if isinstance(content, Mapping):
        return sum(_num_bytes(value) for value in content.values())
    if isinstance(content, (list, tuple)):
        return sum(_num_bytes(value) for value in content)
    return 64


def load_checkpoint(path: str | Path, *, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a ``.ckpt``, ``.pt`` or ``.pth`` file without running anything that is in it.

    Args:
        path: A local file; never an address.
        map_location: Where to put the tensors.

    Raises:
        CheckpointError: It is missing, a git-lfs pointer, truncated, or holds more than tensors and
            plain values.
    """
    path = check_file(path)
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise _explain_load(path, error) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            "this is no checkpoint",
            where=path,
            expected="a dictionary",
            found=type(content).__name__,
        )
    return content


def check_file(path: str | Path, *, size: int | None = None) -> Path:
    """Check that a local file is there and whole, as far as can be seen without reading it.

    Args:
        path: The file.
        size: Its right size in bytes, where known.

    Raises:
        CheckpointError: It is missing, empty, an address, a git-lfs pointer, or not of this size.
    """
    if "://" in str(path):
        raise CheckpointError(
            "this is an address, not a file",
            where=str(path),
            remedy="Download the file, check its sha256, and give its path.",
        )
    path = Path(path)
    if not os.path.isfile(path):
        near = (
            sorted(p.name for p in path.parent.glob("*.ckpt"))[:5]
            if os.path.isdir(path.parent)
            else []
        )
        raise CheckpointError(
            "there is no such file",
            where=path,
            found=", ".join(near) or None,
            remedy="`@last` is the newest run's checkpoint.",
        )
    found = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(LFS_MARK)) == LFS_MARK:
            raise CheckpointError(
                f"file is {found} bytes, a git-lfs pointer",
                where=path,
                remedy="Run `git lfs pull`, or download the file itself.",
            )
    if found == 0 or (size is not None and found < size):
        of = f" of {size / MEGABYTE:.0f}" if size else ""
        raise CheckpointError(
            f"truncated: {found / MEGABYTE:.0f}{of} MB",
            where=path,
            remedy="Copy or download it again.",
        )
    return path


def _explain_load(path: Path, error: Exception) -> CheckpointError:
    found = path.stat().st_size / MEGABYTE
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    if zipped and not _is_whole_zip(path):
        return CheckpointError(
            f"truncated: {found:.3g} MB, and the end is missing",
            where=path,
            remedy="Copy or download it again.",
        )
    names: list[str] = []
    if zipped:
        try:
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        except Exception as scan_error:
            return CheckpointError(f"cannot be read: {scan_error}", where=path)
    first = next(iter(str(error).splitlines()), "")
    if not names:  # a file of the older format cannot be listed; the error names the first
        names = re.findall(r"GLOBAL ([\w.]+)", str(error))[:1]
    if names or "weights_only" in str(error).lower():
        return CheckpointError(
            "refused: it holds more than tensors and plain values",
            where=path,
            found=f"forbidden globals {', '.join(names)}" if names else first,
            remedy="Nothing in it was run. Ask its author for a file of tensors only.",
        )
    return CheckpointError(f"cannot be read as a checkpoint: {first}", where=path)


def _is_whole_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # damaged where its parts are counted
        return False


def load_system(source: str | Path, *, weights: str = "average", map_location: Any = "cpu") -> Any:
    """Build a trained system from a checkpoint or a release folder.

    Args:
        source: A ``.ckpt`` file, a release folder, ``@last`` (newest run), ``@last:NAME`` (newest
            run of a system or experiment), ``@best`` or ``@best:NAME`` (its best instead of its
            last checkpoint), ``@open:NAME`` (a model that comes with facemorph).
        weights: ``average`` takes the moving average of the parts that have one, ``raw`` never.
        map_location: Where to put the tensors.

    Returns:
        The system in evaluation mode; its ``record`` is the config, versions and seed it was
        trained with.

    Raises:
        CheckpointError: The file is missing, damaged, hostile, or of another system.
        ChecksumError: A release folder's file is not the one in its manifest.
        ConfigError: The config in it names something that may not be built.
    """
    path = latest_checkpoint(str(source)) if str(source).startswith("@") else Path(source)
    if os.path.isdir(path):
        record, state = _read_release(path, map_location)
    else:
        content = load_checkpoint(path, map_location=map_location)
        record = content.get(RECORD, {})
        if not record or not isinstance(record, dict) or "state_dict" not in content:
            raise CheckpointError(
                "this checkpoint carries no facemorph config",
                where=path,
                expected="a checkpoint of `facemorph train`, or a release folder",
            )
        state = weights_of(content, average=weights == "average")
    if not isinstance(record.get("config"), dict) or "system" not in record["config"]:
        raise CheckpointError("its config has no system", where=path)
    system = build_for(record["config"]["system"], state, path)
    if not isinstance(system, nn.Module):
        raise ConfigError(
            "the system of this checkpoint is no module", where=path, found=type(system).__name__
        )
    try:
        system.load_state_dict(state, strict=True)
    except RuntimeError as error:
        made_by = record.get("versions", {}).get("facemorph", "?")
        raise CheckpointError(
            f"the weights do not fit the system: {_first_lines(error)}",
            where=path,
            found=f"a file of facemorph {made_by}",
            remedy="Use the facemorph version that wrote it.",
        ) from error
    object.__setattr__(system, "record", record)
    return system.eval()


def system_of(source: str | Path) -> str:
    """Name of the class that a checkpoint or release folder holds, such as ``ImFace``.

    Args:
        source: As of `load_system`.

    Raises:
        CheckpointError: The file is missing, damaged, hostile, or names no system.
        ChecksumError: A release folder's file is not the one in its manifest.
    """
    path = latest_checkpoint(str(source)) if str(source).startswith("@") else Path(source)
    if os.path.isdir(path):
        record = _read_release(path, "cpu")[0]
    else:
        record = load_checkpoint(path).get(RECORD) or {}
    try:
        target = str(record["config"]["system"]["_target_"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            "this checkpoint carries no facemorph config",
            where=path,
            expected="a checkpoint of `facemorph train`, or a release folder",
        ) from error
    return present_name(target).rpartition(".")[2]


def _first_lines(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).splitlines()[1:3])[:300]


def weights_of(content: Mapping[str, Any], *, average: bool = True) -> dict[str, Tensor]:
    """State dict of a Lightning checkpoint, with moving averages in the place of the parts that
    have one.
    """
    state = dict(content["state_dict"])
    if average:
        for callback_state in content.get("callbacks", {}).values():
            if isinstance(callback_state, Mapping) and AVERAGES in callback_state:
                state.update(callback_state[AVERAGES])
    return state


def check_same_parts(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], options: str
) -> None:
    """See that a checkpoint has the parts that a system has, each in its shape.

    Args:
        expected: The system's state.
        found: The checkpoint's.
        options: What of the config decides on them, for the message.

    Raises:
        CheckpointError: A part is missing, of another shape, or not of this system.
    """
    for name in [*expected, *found]:
        mine, its = (tuple(one[name].shape) if name in one else None for one in (expected, found))
        if mine != its:
            raise CheckpointError(
                "the checkpoint is of another variant than the config",
                where=name,
                expected=mine or "no such part",
                found=its or "no such part",
                remedy=f"Take the config that it was trained with: {options}.",
            )


def export_release(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    card: Mapping[str, Any] | None = None,
    half: bool = False,
) -> Path:
    """Write a release folder from a checkpoint.

    Parts that a system names in ``training_only`` (its discriminator) are left out.

    Args:
        checkpoint: What `load_system` takes.
        folder: New or empty folder.
        card: Further entries of ``card.yaml``: licence, data, metrics, intended use.
        half: Store weights as 16-bit numbers, in half the size and to three digits.

    Returns:
        The folder.

    Raises:
        CheckpointError: The checkpoint cannot be loaded, the folder is not empty or cannot be
            written.
    """
    check_new_folder(Path(folder))
    system = load_system(checkpoint)
    record = system.record
    left_out: tuple[str, ...] = getattr(system, "training_only", ())
    accepted = inspect.signature(type(system)).parameters
    nothing = dict.fromkeys(name for name in left_out if name in accepted)
    settings = {**record["config"]["system"], **nothing}
    state = {
        name: (value.half() if half and value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        .clone()
        for name, value in system.state_dict().items()
        if name.partition(".")[0] not in left_out
    }
    notes = {
        "parameters": sum(
            p.numel()
            for name, p in system.named_parameters()
            if name.partition(".")[0] not in left_out
        ),
    }
    notes |= {
        name: record[name]
        for name in ("versions", "seed", "digest", "git", "hardware")
        if name in record
    }
    return write_release(folder, settings, state, {**notes, **(card or {})})


def _read_release(folder: Path, map_location: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors.torch import load

    try:
        manifest = read_json(folder / "MANIFEST.json")
        expected = {
            name: (str(manifest[name]["sha256"]), int(manifest[name]["bytes"]))
            for name in RELEASE_FILES
        }
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise CheckpointError(
            f"this is no release folder: {error!r}",
            where=folder,
            expected="MANIFEST.json with the sha256 of " + ", ".join(RELEASE_FILES),
        ) from error
    contents = {}
    for name, (digest, size) in expected.items():
        check_file(folder / name, size=size)
        contents[name] = (folder / name).read_bytes()  # read once: what is checked is what is used
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != digest:
            raise ChecksumError(
                "its sha256 is not the one in MANIFEST.json",
                where=folder / name,
                expected=digest[:16],
                found=found[:16],
                remedy="Download the folder again.",
            )
    config, card = (_yaml_of(contents[name], folder / name) for name in RELEASE_FILES[1:])
    device = map_location if isinstance(map_location, (str, torch.device)) else "cpu"
    try:
        weights = load(contents["model.safetensors"])
    except Exception as error:  # of a type of its own, and what damaged headers lead to
        raise _damaged(folder / "model.safetensors", error) from error
    state = {name: value.to(device) for name, value in weights.items()}
    return {**(card if isinstance(card, dict) else {}), "config": config}, state


def _yaml_of(content: bytes, path: Path) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.create(content.decode()), resolve=False)
    except Exception as error:  # parsers raise whatever damaged text leads them to
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    """Of a file whose sum is right: its maker wrote it so."""
    return CheckpointError(
        "this file of a release is damaged",
        where=path,
        found=(str(error).strip() or type(error).__name__).splitlines()[0][:120],
        remedy="Ask its author for another release.",
    )
