"""``facemorph bench readers``: random changes of files, and what the readers make of them."""
