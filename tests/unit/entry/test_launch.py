"""Hydra jobs inside a longer process."""

from __future__ import annotations

import logging

from facemorph import cli


def test_a_job_leaves_the_logging_of_the_process_as_it_was(root, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(root)
    monkeypatch.setenv("FACEMORPH_OUTPUT", str(tmp_path))
    level, handlers = logging.root.level, logging.root.handlers[:]
    assert (
        cli.run(
            [
                "train",
                "experiment=ifmorph/tiny",
                "trainer.max_epochs=1",
                "data.steps_per_epoch=1",
                "logger=none",
            ]
        )
        == 0
    )
    assert logging.root.level == level
    assert logging.root.handlers == handlers
    capfd.readouterr()
    logging.getLogger("facemorph.faces.pair").warning("still heard")
    assert "Traceback" not in capfd.readouterr().err
