"""Loading of workloads: a name, path or hub id in; labelled texts with splits out.

Sources: a folder ``<name>/data.csv.gz`` with ``meta.json``; a CSV, Parquet or JSONL file; a hub
data set at a pinned revision; a synthetic workload. Texts stay in memory: they enter no row, log
or message.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from calibration.workloads import synthetic
from calibration.workloads.errors import WorkloadError
from calibration.workloads.hub import HubError, dataset_folder
from calibration.workloads.multiple_choice import LETTERS, OPTION_COUNT
from calibration.workloads.tables import TABLE_SUFFIXES, hash_split, read_table, stem
from catalog.errors import UnknownNameError
from catalog.records import Workload
from catalog.registry.workloads import WORKLOADS

if TYPE_CHECKING:
    import pandas as pd

DATA_FILE = "data.csv.gz"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_FIXED_LENGTH_NAME = re.compile(synthetic.FIXED_LENGTH_PREFIX + r"([1-9]\d{0,3})")
_HASH_SPLIT_NOTE = (
    "no split column in the file: 20 % of each class, chosen by the SHA-256 of the text, are the "
    "test set"
)


@dataclass(frozen=True, repr=False)
class Texts:
    """A workload with its texts and labels.

    Attributes:
        sha256: Hash of the source file; for hub and synthetic workloads, of name and revision.
        dev: Texts for early stopping; empty if the workload has no dev split.
        extra: Texts and labels of further splits by name, for candidates that declare one.
        label_words: Label -> words for it in zero-shot prompts, if a meta file names them.
        multiple_choice: Whether each text is a question with its options and each label a letter
            (`calibration.workloads.multiple_choice`); train may then be empty.
    """

    workload: Workload
    sha256: str
    train: list[str]
    train_labels: list[str]
    test: list[str]
    test_labels: list[str]
    dev: list[str] = field(default_factory=list)
    dev_labels: list[str] = field(default_factory=list)
    extra: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    label_words: dict[str, str] = field(default_factory=dict)
    multiple_choice: bool = False


def workload_paths(data: Path | None) -> dict[str, Path]:
    """Workloads in a data folder, or the folder itself if it is one: name -> folder or file.

    Raises:
        WorkloadError: The folder does not exist.
    """
    if data is None:
        return {}
    if not data.exists():
        raise WorkloadError(f"data folder {data} does not exist")
    if _is_workload(data):
        return {stem(data.resolve()): data}
    return {stem(entry): entry for entry in sorted(data.iterdir()) if _is_workload(entry)}


def _is_workload(path: Path) -> bool:
    """Whether a path is a workload folder or a table of texts."""
    if path.is_dir():
        return (path / DATA_FILE).is_file()
    return path.name.lower().endswith(TABLE_SUFFIXES) and path.is_file()


def has_texts(name: str, data: Path | None) -> bool:
    """Whether a workload of that name is in the data folder or the registry."""
    return name in {*workload_paths(data), *(workload.name for workload in WORKLOADS)}


def load(name: str, data: Path | None, known: Mapping[str, Workload]) -> Texts:
    """Loads a workload by name, path or hub id.

    Args:
        name: A workload below `data`, a path to a table or workload folder, a name of the
            registry, ``org/dataset@commit`` on the hub, ``synthetic``, or ``tokens-128`` (any
            number of words, 1 to 9999) for texts of equal length with meaningless labels.
        data: Folder of workloads; takes precedence over the hub.
        known: Workloads of the catalog. If one of that name has other content, the loaded one
            gets a new name, so that accuracies on different data are never compared.

    Raises:
        UnknownNameError: No source has a workload of that name.
        WorkloadError: The texts cannot be used, or cannot be found.
    """
    found = workload_paths(data)
    if name in found:
        return _reconcile(_load_path(found[name]), known)
    if name == "synthetic":
        return _reconcile(_load_synthetic(), known)
    if tokens := _FIXED_LENGTH_NAME.fullmatch(name):
        return _reconcile(_load_fixed_length(int(tokens[1])), known)
    if _is_workload(Path(name)):
        return _reconcile(_load_path(Path(name)), known)
    declared = {workload.name: workload for workload in WORKLOADS}
    if name in declared or _HUB_ID.fullmatch(name):
        return _reconcile(_load_hub(name, declared.get(name)), known)
    raise UnknownNameError("workload", name, {*found, *declared})


def _reconcile(texts: Texts, known: Mapping[str, Workload]) -> Texts:
    """The texts with the catalog's record if its content agrees, else under a name with a hash."""
    own, listed = texts.workload, known.get(texts.workload.name)
    if listed is None:
        return texts
    fields = ["n_train", "n_test", "n_classes"]
    fields += ["revision"] if listed.dataset == own.dataset else []
    if all(getattr(listed, f) in (None, getattr(own, f)) for f in fields):
        return replace(texts, workload=listed)
    name = f"{own.name}-{texts.sha256[:8]}"
    workload = known.get(name) or msgspec.structs.replace(own, name=name)
    return replace(texts, workload=workload)


def _load_path(path: Path) -> Texts:
    """Loads a workload folder or a single table."""
    file = path / DATA_FILE if path.is_dir() else path
    try:
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise WorkloadError(f"{file}: {error.strerror}") from error
    meta_file = path / "meta.json" if path.is_dir() else file.with_name(f"{stem(file)}.meta.json")
    meta = _read_meta(meta_file)
    if meta.get("sha256", sha256) != sha256:
        raise WorkloadError(f"{file}: its sha256 is not the one in {meta_file.name}")
    frame = read_table(file)
    questions = OPTION_COUNT in frame
    if questions and "split" not in frame:
        frame = frame.assign(split="test")
    own_split = "split" not in frame
    if own_split:
        frame = frame.assign(split=hash_split(frame))
        if len(frame) and "test" not in set(frame["split"]):
            raise WorkloadError(
                f"{file}: {len(frame)} text(s), no two of one class; without a column 'split' one "
                "text of a class is kept for the test, so at least two of each are needed"
            )
    name = stem(path.resolve())
    texts = _split_texts(
        frame,
        str(file),
        sha256,
        name=name,
        task=slug(str(meta.get("task") or name)),
        dataset=file.name if path.is_file() else name,
        revision=sha256,
        language=meta.get("language"),
        licence=_truncate(meta.get("licence")),
        citation=_HASH_SPLIT_NOTE if own_split else _truncate(meta.get("citation")),
    )
    if questions:
        return texts
    return replace(texts, label_words=_label_words(meta.get("label_names"), texts.train_labels))


def _label_words(names: Any, labels: Sequence[str]) -> dict[str, str]:
    """Words for the labels 0, 1, 2 ... from a meta file's list; empty if it does not fit."""
    if not isinstance(names, list):
        return {}
    found = {str(number): str(name).replace("_", " ") for number, name in enumerate(names)}
    return found if set(labels) <= set(found) else {}


def _truncate(value: Any) -> str | None:
    """A meta file's value as text, truncated to the 500 characters of a catalog cell."""
    return str(value)[:500] if value else None


def slug(phrase: str) -> str:
    """A phrase as a task name: ``offensive language`` -> ``offensive-language``."""
    return re.sub(r"[^a-z0-9]+", "-", phrase.casefold()).strip("-")


def _read_meta(file: Path) -> dict[str, Any]:
    """Content of a meta file; empty if there is none."""
    if not file.is_file():
        return {}
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WorkloadError(f"{file}: is not JSON") from error
    if not isinstance(meta, dict):
        raise WorkloadError(f"{file}: must be a JSON object")
    return meta


def _split_texts(frame: pd.DataFrame, where: str, sha256: str, **record: Any) -> Texts:
    """Validates a table, splits it and builds its record.

    Args:
        frame: Columns ``text``, ``label`` and ``split``, all text.
        where: Name of the source for error messages.
        sha256: Hash of the source.
        record: Further fields of the workload's record.

    Raises:
        WorkloadError: A split is missing or empty, or train has empty labels or one class only.
    """
    if frame.empty:
        raise WorkloadError(f"{where}: holds no text")
    parts = {split: frame[frame["split"] == split] for split in ("train", "test")}
    questions = OPTION_COUNT in frame
    for split, part in parts.items():
        if part.empty and (split == "test" or not questions):
            there = ", ".join(sorted(set(frame["split"]))[:10])
            raise WorkloadError(
                f"{where}: column 'split' has no {split!r}; it has {there}; "
                "train and test are needed"
            )
    if blank := int((parts["train"]["label"] == "").sum()):
        raise WorkloadError(
            f"{where}: column 'label' is empty in {blank} of {len(parts['train'])} train rows; "
            "every text needs one"
        )
    classes = set(parts["train"]["label"])
    if questions:
        classes = set(LETTERS[: frame[OPTION_COUNT].astype(int).max()])
    if len(classes) < 2:
        raise WorkloadError(f"{where}: column 'label' has one class only in train; 2 are needed")
    workload = Workload(
        n_classes=len(classes),
        n_train=len(parts["train"]) or None,
        n_test=len(parts["test"]),
        **(_counted(parts["test"]) | record),
    )
    train, test = (
        (part["text"].tolist(), part["label"].tolist()) for part in (parts["train"], parts["test"])
    )
    known = frame[frame["label"].isin(classes)]
    others = {
        str(split): (part["text"].tolist(), part["label"].tolist())
        for split, part in known.groupby("split")
        if split not in parts
    }
    dev, dev_labels = others.pop("dev", ([], []))
    words = {letter: letter for letter in sorted(classes)} if questions else {}
    return Texts(workload, sha256, *train, *test, dev, dev_labels, others, words, questions)


def _counted(test: pd.DataFrame) -> dict[str, Any]:
    """Facts of a workload's record that are counted in its test texts."""
    share = float(test["label"].value_counts(normalize=True).iloc[0])
    basis = "counted in the test texts"
    return {
        "majority_share": round(share, 4),
        "majority_basis": basis,
        "mean_chars": round(float(test["text"].str.len().mean()), 1),
        "length_basis": basis,
    }


def _load_synthetic() -> Texts:
    """The synthetic workload, generated from a seed."""
    declared = next(workload for workload in WORKLOADS if workload.name == "synthetic")
    sha256 = hashlib.sha256(f"synthetic {synthetic.REVISION}".encode()).hexdigest()
    return _split_texts(
        synthetic.rows(),
        "synthetic",
        sha256,
        name="synthetic",
        task=declared.task,
        dataset=declared.dataset,
        revision=synthetic.REVISION,
        language=declared.language,
    )


def _load_fixed_length(words: int) -> Texts:
    """The synthetic workload whose texts all have `words` words."""
    name = f"{synthetic.FIXED_LENGTH_PREFIX}{words}"
    return _split_texts(
        synthetic.fixed_length_rows(words),
        name,
        hashlib.sha256(f"{name} {synthetic.REVISION}".encode()).hexdigest(),
        name=name,
        task="synthetic",
        dataset="written by joulewise from a seed; its labels mean nothing",
        revision=synthetic.REVISION,
        language="en",
    )


def _load_hub(name: str, declared: Workload | None) -> Texts:
    """Loads a hub data set by registry name or ``org/dataset@commit``."""
    repo, _, revision = (declared.dataset or name if declared else name).partition("@")
    revision = revision or (declared.revision or "" if declared else "")
    on_hub = _HUB_ID.fullmatch(repo) is not None
    if not revision or not on_hub:
        own = name if declared else stem(Path(repo))
        commit = f", or name a commit: {repo}@<commit>" if on_hub else ""
        raise WorkloadError(
            f"workload {name!r} lies in no data folder; put it as {own}/data.csv.gz + meta.json "
            f"or as {own}.csv with columns text and label into the folder of JOULEWISE_DATA or "
            f"--data{commit}"
        )
    try:
        folder = dataset_folder(repo, revision)
    except HubError as error:
        raise WorkloadError(str(error)) from error
    where = f"{repo}@{revision[:12]}"
    own = declared.name if declared else repo.split("/")[1].lower()
    return _split_texts(
        _read_hub_splits(folder, where),
        where,
        hashlib.sha256(f"{repo}@{revision}".encode()).hexdigest(),
        name=own,
        task=declared.task if declared else slug(own),
        dataset=repo,
        revision=revision,
        language=declared.language if declared else None,
    )


def _read_hub_splits(folder: Path, where: str) -> pd.DataFrame:
    """Train and test splits of a hub folder, recognised by file names.

    A test split without labels (all -1, as in GLUE) is replaced by the validation split.
    """
    import pandas as pd

    files = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(TABLE_SUFFIXES))
    splits = {}
    for split in ("train", "test", "validation"):
        of_split = [path for path in files if split in path.name.lower()]
        if of_split:
            splits[split] = pd.concat([read_table(path) for path in of_split])
    if "test" not in splits or set(splits["test"]["label"]) == {"-1"}:
        splits["test"] = splits.pop("validation", pd.DataFrame())
    needed = ("test",) if OPTION_COUNT in splits["test"] else ("train", "test")
    if splits["test"].empty or any(split not in splits for split in needed):
        names = ", ".join(path.name for path in files[:10]) or "no table"
        raise WorkloadError(f"{where}: needs files of the splits train and test; it has {names}")
    chosen = [splits[s].assign(split=s) for s in ("train", "test") if s in splits]
    return pd.concat(chosen, ignore_index=True)
