"""The same as ``facemorph infer``: ``python infer.py checkpoint=@last output=out/``."""

from facemorph.infer import main

if __name__ == "__main__":
    main()
