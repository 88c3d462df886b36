"""As toy_train.py, for infer."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from facemorph.config.targets import trust_package

trust_package("facemorph_toy")

if __name__ == "__main__":
    from facemorph.infer import main

    main()
