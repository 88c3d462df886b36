"""The studio: everything that facemorph does with faces, in one page of the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from facemorph import console
from facemorph.apps.studio.hosting import check_packages, listen, serve, web_server
from facemorph.jobs.options import Option, checked


@checked
def studio(
    pictures: Annotated[
        list[str | Path] | None, Option(metavar="[PICTURES]", argument=True, kind=list[Path])
    ] = None,
    *,
    project: Annotated[str | Path, Option(metavar="DIR", kind=Path)] = "facemorph-studio",
    port: int = 0,
    browser: bool = True,
    stay: bool = True,
) -> Path:
    """Serve the studio until Ctrl-C.

    Args:
        pictures: Photographs and folders to open; a new project begins with both samples when none
            is given.
        project: Folder that keeps everything; it is made when missing and goes on where it was.
        port: TCP port on 127.0.0.1; 0 takes a free one.
        browser: Open the page in the browser.
        stay: Serve on when the page is closed, instead of ending with its last window.

    Returns:
        The folder of the project.

    Raises:
        MissingExtra: The packages of the extra ``ui`` are not installed.
        ConfigError: The port cannot be used.
        OutputError: The project cannot be written, or another studio has it open.
        DataError: The project or a picture cannot be read.
    """
    check_packages("studio")
    from facemorph.apps.sets.demo_photographs import PHOTOGRAPHS, sample_folder
    from facemorph.apps.studio.messages import MAX_DATA
    from facemorph.apps.studio.project import Project
    from facemorph.apps.studio.server import StudioServer
    from facemorph.jobs.input_files import picture_files

    paths = picture_files(pictures) if pictures else []
    with listen(port) as listening, Project(Path(project)).opened() as opened:
        if opened.is_new and not paths:
            paths = [sample_folder() / name for name in PHOTOGRAPHS]
        for path in paths:
            opened.add(path)
        opened.save()

        def leave() -> None:
            server.should_exit = True

        page = StudioServer(opened, None if stay else leave)
        server = web_server(page.app(), MAX_DATA + 4096)
        serve(server, listening, page.path, "studio", browser)
    console.say_next("studio", "--project", str(project))
    return opened.folder
