"""As toy_train.py, for infer."""

from facemorph.config.targets import trust_package

trust_package("facemorph_toy")

if __name__ == "__main__":
    from facemorph.infer import main

    main()
