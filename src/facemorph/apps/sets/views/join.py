"""Several prepared sets as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.errors import ConfigError
from facemorph.jobs.options import File, Option, OutputFolder, checked

if TYPE_CHECKING:
    from facemorph.apps.sets.views.joined_set import JoinReport


@checked
def join_sets(
    sources: Annotated[Sequence[str | Path], Option(metavar="SETS")],
    output: OutputFolder,
    *,
    splits: File = None,
) -> JoinReport:
    """Make one training set of several: pictures, parameters, people and splits.

    Pictures of one size, parameters of one face model. People of the same name are the same person.

    Args:
        sources: What ``facemorph data prepare``, ``vary`` or ``synth`` made.
        output: Folder of the new set; pictures are linked where the disk allows it, else copied.
        splits: Table with the columns person and split (training, validation, test); people that it
            lacks keep the split of their set.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: A set, the table or the output is at fault: two pictures of one name, a
            person in two splits.
    """
    if len(sources) < 2 and splits is None:
        raise ConfigError(
            "there is nothing to join",
            where="SETS",
            expected="two sets or more, or one with --splits",
            found=len(sources),
        )
    from facemorph.apps.sets.views.joined_set import join

    return join(
        [Path(source) for source in sources], Path(output), None if splits is None else Path(splits)
    )
