"""A user's own train script: trusts one more package and one more folder of configs, then is
``train.py``.
"""

import sys
from pathlib import Path

from facemorph.config.targets import trust_package

HERE = Path(__file__).resolve().parent

trust_package("facemorph_toy")

if __name__ == "__main__":
    import torch

    from facemorph.train import main

    torch.set_num_threads(1)
    if "--config-dir" not in sys.argv:
        sys.argv += ["--config-dir", str(HERE / "conf")]
    main()
