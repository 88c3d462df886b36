"""Readers of configs, recipes, tables and reports, and small files for them."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import yaml

from facemorph.apps.attacks.detector_scores import read_scores
from facemorph.apps.attacks.morph_judge import read_morphs
from facemorph.apps.generation.study.answers import read_answers, read_key
from facemorph.apps.reenactment.editing.edit_words import read_edits
from facemorph.apps.sets.pairs.people import read_splits
from facemorph.bench.readers.pictures import photograph, saved
from facemorph.bench.readers.reader import Reader
from facemorph.bench.readers.shapes import ROWS_AND_COLUMNS
from facemorph.config.explained import compose
from facemorph.config.overrides import complete_overrides, quote_texts
from facemorph.data.face_set import SetIndex
from facemorph.faces.files.pair_lists import read_pair_list
from facemorph.jobs.picture_weights import weights_of
from facemorph.jobs.recipe import read_recipe
from facemorph.jobs.records import SETTINGS, Records, keep_settings
from facemorph.jobs.redo import arguments_of
from facemorph.storage.runs import INDEX, runs
from facemorph.systems.gdpw.paired_faces import PAIRS, read_pairs
from facemorph.systems.ifmorph.published_experiments import import_experiment

CHOSEN = {"device": "auto", "size": 64}


def _as_json(content: object) -> bytes:
    return json.dumps(content, indent=1).encode()


# As the shipped ones, and smaller: Hydra takes a fifth of the time for them.
CONFIGS = {
    "train.yaml": b"""defaults:
  - _self_
  - system: null
  - experiment: null

seed: 0
trainer: {max_epochs: 10, notes: [1, 2.5e-4, null]}
paths: {output_root: outputs, output_dir: "${paths.output_root}/${seed}"}
""",
    "system/warp.yaml": b"""name: warp
loss: {weight: 1.0, kind: 'thin plate'}
""",
    "experiment/pair.yaml": b"""# @package _global_
# Between two photographs.
defaults:
  - override /system: warp

system:
  loss:
    weight: 100      # a tenth of the paper's
trainer:
  max_epochs: ${seed}
""",
}


def _config_files() -> dict[str, bytes]:
    return CONFIGS


def _read_config(path: Path) -> None:
    folder = path.parent if path.stem == "train" else path.parents[1]
    compose("train", ["experiment=pair"], folder=folder)


def _override_files() -> dict[str, bytes]:
    return {
        "number.txt": b"trainer.max_epochs=3",
        "list.txt": b"++trainer.notes=[32,{a: 1e-4},'a b']",
        "name.txt": b"paths.output_root=photo (1).jpg",
        "group.txt": b"experiment=pair",
    }


@cache
def _small_configs() -> Path:
    """A folder of them for the rest of the process."""
    folder = Path(tempfile.mkdtemp(prefix="facemorph-readers-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, content in CONFIGS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _read_override(path: Path) -> None:
    """A word of the command line, which the system decodes so."""
    word = path.read_bytes().decode("utf-8", errors="surrogateescape").replace("\0", "")
    folder = _small_configs()
    compose("train", quote_texts(complete_overrides("train", [word], folder)), folder=folder)


def _recipe_files() -> dict[str, bytes]:
    recipe = {
        "facemorph_recipe": 1,
        "function": "average",
        "arguments": {"pictures": ["a.png", "b.png"], "size": 64},
        "inputs": [{"file": name, "sha256": "0" * 64} for name in ("a.png", "b.png")],
        "output": {"file": "average.png", "sha256_of_content": "0" * 64},
        "seed": 0,
        "versions": {"facemorph": "0.1", "threads": 1},
    }
    return {"average.recipe.yaml": yaml.safe_dump(recipe).encode()}


def _read_recipe(path: Path) -> None:
    arguments_of(read_recipe(path), path)


def _experiment_files() -> dict[str, bytes]:
    experiment = {
        "experiment_name": "pair",
        "initial_conditions": {0: "a.png", 1: "b.png"},
        "loss": {
            "type": "warping",
            "sources": ROWS_AND_COLUMNS,
            "targets": ROWS_AND_COLUMNS,
            "constraint_weights": {"data_constraint": 1e4},
            "intermediate_times": [0.25, 0.5],
        },
        "network": {"in_channels": 3, "out_channels": 2, "hidden_layers": [16], "omega_0": 24},
        "optimizer": {"lr": 1e-4},
        "training": {"n_samples": 100, "n_steps": 10, "warmup_steps": 2},
        "reconstruct": {"frame_dims": [32, 32], "fps": 10, "n_frames": 5},
    }
    picture = saved(photograph(), "PNG")
    files = {"pair.yaml": yaml.safe_dump(experiment).encode(), "a.png": picture, "b.png": picture}
    return {"list.yaml": files["pair.yaml"], **files}


def _read_experiment(path: Path) -> None:
    config = path if path.suffix == ".yaml" else path.with_name("pair.yaml")
    try:
        import_experiment(config, path.parent / "out")
    finally:
        shutil.rmtree(path.parent / "out", ignore_errors=True)


def _weight_files() -> dict[str, bytes]:
    return {"weights.csv": b"name,weight\na.png,0.5\nb.png,1\n", "weights.txt": b"a;1\nb;2\n"}


def _read_weights(path: Path) -> None:
    weights_of(path, [Path("a.png"), Path("b.png")])


def _pair_files() -> dict[str, bytes]:
    return {"pairs.csv": b"a,b\none.png,two.png\n", "pairs.txt": b"# of us\none two\ntwo three\n"}


def _read_pairs(path: Path) -> None:
    read_pair_list(path, path.parent)


def _study_key() -> dict[str, object]:
    items = {"q1": {"check": "left"}, "q2": {"picture": "a.png"}}
    return {"study": "mine", "kind": "ab", "scale": 2, "items": items, "left_out": []}


def _answer_files() -> dict[str, bytes]:
    rows = "study,participant,question,answer\nmine,ann,q1,left\nmine,bob,q2,right\n"
    return {"answers.csv": rows.encode(), "key.json": _as_json(_study_key())}


def _read_study(path: Path) -> None:
    key = read_key(path.with_name("key.json"))
    read_answers([path.with_name("answers.csv")], key)


def _score_files() -> dict[str, bytes]:
    rows = "score,label,attack\n0.5,attack,morph\n0.25,bona_fide,\n0.75,attack,print\n"
    return {"scores.csv": rows.encode()}


def _split_files() -> dict[str, bytes]:
    return {"splits.csv": b"person,split\nann,training\nbob,test\n"}


def _edit_files() -> dict[str, bytes]:
    return {"edits.txt": b"shape 3 1.5\nexp jawOpen 0.25\njaw_pose pitch 20\ncam scale 1.1\nundo\n"}


def _read_edits(path: Path) -> None:
    read_edits(None, path)


def _report_files() -> dict[str, bytes]:
    row = {"a": "a.png", "b": "b.png", "status": "done", "files": ["m.png"], "metrics": {"ssim": 1}}
    return {"report.json": _as_json({"rows": [row, {**row, "files": ["n.png"]}]})}


def _read_report(path: Path) -> None:
    read_morphs(path.parent)


def _set_files() -> dict[str, bytes]:
    index = {
        "names": ["a", "b"],
        "people": ["ann", "bob"],
        "split": ["training", "test"],
        "files": ["a.png", "b.png"],
    }
    pairs = {"source": [0, 1], "target": [1, 0], "kind": ["genuine", "rendered"]}
    return {"index.json": _as_json(index), PAIRS: _as_json(pairs)}


def _read_set(path: Path) -> None:
    SetIndex.read(path.parent)
    read_pairs(path.parent)


def _record_files() -> dict[str, bytes]:
    rows = [{"name": name, "status": "done", "files": [], "made": 1.5} for name in "aab"]
    return {
        "records.0-of-1.jsonl": "\n".join(map(json.dumps, rows)).encode(),
        SETTINGS: _as_json(CHOSEN),
    }


def _read_records(path: Path) -> None:
    Records(path.parent).all()
    keep_settings(path.parent, CHOSEN)


def _run_files() -> dict[str, bytes]:
    entry = {"time": "2026-11-29T10:00:00", "folder": ".", "system": "ImFace", "key": "k"}
    return {INDEX: "\n".join([json.dumps(entry)] * 2).encode()}


def _read_runs(path: Path) -> None:
    runs(path.parent)


TEXTS = (
    Reader("configs", _config_files, _read_config, together=True),
    Reader("overrides", _override_files, _read_override),
    Reader("recipes", _recipe_files, _read_recipe),
    Reader("experiments of ifmorph", _experiment_files, _read_experiment, together=True),
    Reader("weights of pictures", _weight_files, _read_weights),
    Reader("lists of pairs", _pair_files, _read_pairs),
    Reader("studies", _answer_files, _read_study, together=True),
    Reader("scores", _score_files, read_scores),
    Reader("splits of people", _split_files, read_splits),
    Reader("edits", _edit_files, _read_edits),
    Reader("reports", _report_files, _read_report),
    Reader("indices of sets", _set_files, _read_set, together=True),
    Reader("records", _record_files, _read_records, together=True),
    Reader("runs", _run_files, _read_runs),
)
