"""The same as ``facemorph train``: ``python train.py experiment=ifmorph/tiny``."""

from facemorph.train import main

if __name__ == "__main__":
    main()
