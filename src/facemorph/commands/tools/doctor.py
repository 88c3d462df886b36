"""``facemorph doctor``: is everything there, before hours of work find out."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

REQUIRED = (
    "torch",
    "lightning",
    "hydra-core",
    "omegaconf",
    "torchmetrics",
    "numpy",
    "scipy",
    "pillow",
    "safetensors",
    "rich",
    "typer",
    "face-alignment",
    "wandb",
    "av",
    "trimesh",
)
EXTRAS = {
    "dlib": ("dlib-bin",),
    "bfm": ("h5py",),
    "datasets": ("lmdb", "lz4"),
    "scans": ("libigl", "embreex"),
    "ui": ("starlette", "uvicorn", "websockets"),
    "sweep": ("hydra-optuna-sweeper", "hydra-joblib-launcher", "hydra-submitit-launcher"),
    "tensorboard": ("tensorboard",),
}
ENOUGH_DISK = 1e9

Finding = dict[str, Any]


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check versions, devices, weights, video, write access and disk; exit code 2 if one is
    missing.
    """
    from facemorph import console

    findings = examine()
    if as_json:
        console.out.print_json(json.dumps(findings))
    else:
        signs = {
            "ok": "[green]ok[/green]     ",
            "missing": "[red]missing[/red]",
            "note": "[yellow]note[/yellow]   ",
        }
        for finding in findings:
            console.out.print(f"{signs[finding['state']]} {finding['name']}: {finding['found']}")
            if finding.get("remedy"):
                console.out.print(f"        {finding['remedy']}")
        console.next_command("facemorph demo")
    if any(finding["state"] == "missing" for finding in findings):
        raise typer.Exit(2)


def examine() -> list[Finding]:
    """All findings: name, state (``ok``, ``note`` or ``missing``), what was found, and a remedy."""
    findings = [_python()]
    findings += [_package(name) for name in REQUIRED]
    checks: tuple[Callable[[], Finding], ...] = (
        _device,
        _memory,
        _configs,
        _video,
        _write_access,
        _disk,
    )
    for check in checks:
        try:
            findings.append(check())
        except Exception as error:  # a broken installation must not break its own diagnosis
            findings.append(_finding(check.__name__.strip("_"), "missing", repr(error)))
    findings += _embedded_weights()
    findings += _pretrained()
    findings += [_extra(name, packages) for name, packages in EXTRAS.items()]
    return findings


def _finding(name: str, state: str, found: object, remedy: str | None = None) -> Finding:
    return {"name": name, "state": state, "found": str(found), "remedy": remedy}


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return _finding(
        "python",
        "ok" if good else "missing",
        platform.python_version(),
        None if good else "Use Python 3.11 or newer.",
    )


def _package(name: str) -> Finding:
    try:
        return _finding(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return _finding(name, "missing", "not installed", f"pip install {name}")


def _extra(name: str, packages: tuple[str, ...]) -> Finding:
    try:
        return _finding(
            f"extra {name}", "ok", ", ".join(f"{p} {metadata.version(p)}" for p in packages)
        )
    except metadata.PackageNotFoundError:
        return _finding(f"extra {name}", "note", "not installed (optional)")


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return _finding(
            "devices", "ok", f"cpu, {len(names)} GPU: {', '.join(names)}; CUDA {torch.version.cuda}"
        )
    why = (
        "torch is built for CUDA but sees no GPU"
        if torch.version.cuda
        else "torch is built without CUDA"
    )
    return _finding("devices", "ok", f"cpu, {torch.get_num_threads()} threads ({why})")


def _memory() -> Finding:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return _finding("memory", "ok", f"{pages * size / 1e9:.1f} GB, {os.cpu_count()} processors")


def _configs() -> Finding:
    from facemorph.config.compose import conf_dir

    return _finding("config files", "ok", conf_dir())


def _video() -> Finding:
    import av

    codecs = [name for name in ("libx264", "h264") if name in av.codecs_available]
    program = shutil.which("ffmpeg")
    codec = codecs[0] if codecs else "no H.264"
    found = f"PyAV {av.__version__}, {codec}; ffmpeg program {program or 'not needed'}"
    return _finding(
        "video",
        "ok" if codecs else "note",
        found,
        None if codecs else "MP4 output will use another codec.",
    )


def _write_access() -> Finding:
    from facemorph.storage.runs import output_root

    root = output_root().resolve()
    there = next(folder for folder in (root, *root.parents) if folder.is_dir())
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".facemorph-"):
            return _finding("write access", "ok", root)
    except OSError as error:
        return _finding(
            "write access",
            "missing",
            f"{there}: {error.strerror}",
            "Change to a folder that you can write, or set FACEMORPH_OUTPUT.",
        )


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free > ENOUGH_DISK
    return _finding(
        "free disk",
        "ok" if enough else "note",
        f"{free / 1e9:.1f} GB",
        None if enough else "Free some space before a training.",
    )


def _embedded_weights() -> list[Finding]:
    from facemorph.faces.embedded_networks import SHA256
    from facemorph.storage.files import ASSETS, sha256_of

    findings = []
    for name, digest in SHA256.items():
        path = Path(ASSETS) / name
        found = sha256_of(path) if path.is_file() else None
        good = found == digest
        findings.append(
            _finding(
                f"embedded {Path(name).stem}",
                "ok" if good else "missing",
                f"sha256 {digest[:12]}" if good else "damaged" if found else "not there",
                None if good else "Install facemorph again.",
            )
        )
    return findings


def _pretrained() -> list[Finding]:
    from facemorph.errors import FacemorphError
    from facemorph.storage.pretrained import registry, verify

    findings = []
    try:
        entries = registry()
    except FacemorphError as error:
        return [_finding("pretrained", "note", error)]
    for name, weights in entries.items():
        if not weights.path.is_file():
            findings.append(_finding(f"pretrained {name}", "note", "not here (optional)"))
            continue
        try:
            verify(weights, weights.path)
            findings.append(_finding(f"pretrained {name}", "ok", weights.path))
        except FacemorphError as error:
            findings.append(
                _finding(f"pretrained {name}", "note", error, f"facemorph download {name}")
            )
    return findings
