"""Files of Hugging Face repositories: a local folder if there is one, else a pinned download."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path

from catalog.errors import install_command

CHECKPOINT_PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model")
"""Files of a checkpoint that are downloaded: no pickles, no code."""


class HubError(RuntimeError):
    """Files are neither local nor on the hub; the message says where to put them."""


@functools.cache
def _download(repo: str, revision: str, kind: str, patterns: tuple[str, ...]) -> Path | str:
    """The downloaded folder, or why there is none; cached, as a dead network is slow."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils import disable_progress_bars, logging
    except ImportError:
        return f"huggingface_hub is not installed; {install_command('calibration')}"
    logging.set_verbosity(logging.CRITICAL)  # else every retry logs a line
    disable_progress_bars()
    try:
        return Path(
            snapshot_download(
                repo, revision=revision, repo_type=kind, allow_patterns=list(patterns)
            )
        )
    except Exception as error:  # many classes of httpx, the hub and the disk
        return f"the hub cannot be read ({type(error).__name__})"


def dataset_folder(repo: str, revision: str) -> Path:
    """Folder with the data files of a hub data set at a commit.

    Raises:
        HubError: The download fails.
    """
    patterns = ("*.parquet", "*.csv", "*.csv.gz", "*.jsonl")
    found = _download(repo, revision, "dataset", patterns)
    if isinstance(found, str):
        raise HubError(
            f"data set {repo!r} at {revision[:12]}: {found}; put the data as "
            "<name>/data.csv.gz + meta.json into the folder of JOULEWISE_DATA or --data"
        )
    return found


def local_checkpoint(repo: str, models: Path | None) -> Path | None:
    """Folder ``<models>/<repo>`` if it holds a checkpoint, else ``None``."""
    folder = models / repo if models else None
    return folder if folder and (folder / "config.json").is_file() else None


def checkpoint_folder(
    repo: str,
    revision: str | None,
    models: Path | None,
    files: Sequence[str] = CHECKPOINT_PATTERNS,
) -> Path:
    """Folder of a checkpoint: below `models` if present, else downloaded from the hub.

    Args:
        repo: Hub id, ``<owner>/<name>``.
        revision: Commit to download; ``None`` if none is pinned.
        models: Folder of local checkpoints by hub id.
        files: Patterns of the files to download.

    Raises:
        HubError: The checkpoint is in neither place, or no revision is pinned.
    """
    local = local_checkpoint(repo, models)
    if local is not None:
        return local
    found = (
        _download(repo, revision, "model", tuple(files)) if revision else "no revision is pinned"
    )
    if isinstance(found, str):
        place = (models or Path("<JOULEWISE_MODELS>")) / repo
        raise HubError(f"checkpoint {repo} is not in {place}, and {found}")
    return found


def folder_from_environment(name: str, given: Path | None) -> Path | None:
    """`given` if it is not ``None``, else the folder in environment variable `name`, if set."""
    return given or (Path(os.environ[name]) if os.environ.get(name) else None)
