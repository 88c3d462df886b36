"""A project with both samples, looked at."""

from __future__ import annotations

import threading

import pytest

from facemorph.apps.studio.exports import Exports
from facemorph.apps.studio.library import Library
from facemorph.apps.studio.project import Project
from facemorph.apps.studio.work import Workshop


@pytest.fixture(scope="package")
def library(tmp_path_factory, samples):
    """Both samples, found and fitted; tests add what they change themselves."""
    with Project(tmp_path_factory.mktemp("studio") / "project").opened() as project:
        for path in samples:
            project.add(path)
        done = threading.Event()

        def tell(photograph):
            known = library.photographs.values()
            if len(known) == len(samples) and all(one.state != "waiting" for one in known):
                done.set()

        library = Library(project, tell)
        library.begin()
        assert done.wait(300)
        yield library
        library.close()


@pytest.fixture(scope="package")
def exports(library):
    workshop = Workshop("exports", lambda work: None)
    yield Exports(library.project, workshop)
    workshop.close()
