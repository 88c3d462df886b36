"""Use a trained system: ``python infer.py checkpoint=@last output=out/ +times=[0.5]``.

The same as ``facemorph infer``.

Whatever the config has beside ``checkpoint``, ``output``, ``device`` and ``weights`` is an option
of the system's ``infer(output, **options)``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from facemorph import console

if TYPE_CHECKING:
    from omegaconf import DictConfig

OWN_KEYS = ("checkpoint", "output", "torch_device", "weights")


def infer(cfg: DictConfig) -> None:
    """Run the job of one composed config.

    Args:
        cfg: The config.

    Raises:
        FacemorphError: The checkpoint, an option or the output folder is at fault.
    """
    import torch

    from facemorph.config.build import check_arguments
    from facemorph.config.compose import plain
    from facemorph.errors import ConfigError
    from facemorph.storage.checkpoint import load_system

    config = plain(cfg)
    device = config["torch_device"]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif str(device).startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            "there is no CUDA device here", where="device", found=device, remedy="Use device=cpu."
        )
    try:
        torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            "there is no such device",
            where="device",
            expected="auto, cpu, cuda or cuda:1",
            found=device,
        ) from error
    system = load_system(config["checkpoint"], weights=config["weights"]).to(device)
    options = {name: value for name, value in config.items() if name not in OWN_KEYS}
    output = Path(config["output"])
    check_arguments(system.infer, {"output": output, **options}, key="infer")
    with torch.inference_mode():
        written = system.infer(output=output, **options)
    for path in written:
        console.out.print(str(path))
    console.next_command(f"facemorph export {config['checkpoint']} release/")


def main() -> None:
    """Entry point: Hydra overrides on the command line."""
    from facemorph.entry.launch import run_and_exit
    from facemorph.entry.threads import leave_cores_free

    leave_cores_free()
    run_and_exit(infer, "infer")


if __name__ == "__main__":
    main()
