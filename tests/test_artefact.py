"""Tests of `advisor.estimator.artefact`: plain numbers in, plain numbers out, and nothing runs."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from advisor.estimator import power, runtime
from advisor.estimator.artefact import (
    ESTIMATOR,
    SCORECARD,
    StaleEstimatorError,
    checked,
    read,
    save,
)
from advisor.estimator.estimator import load
from advisor.estimator.setup import Setup
from catalog import reference_data as bundled
from catalog import snapshot

BUNDLED = Path(str(files("advisor.estimator"))) / "artefact_files"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled artefact."""
    return Path(shutil.copytree(BUNDLED, tmp_path / "artefact"))


def test_the_bundled_artefact_belongs_to_the_bundled_figures() -> None:
    """It was trained on the rows in the box, and its scorecard says the same.

    The table of machines may grow without it.
    """
    artefact, card, _ = read(BUNDLED)
    now = snapshot.load()
    assert artefact.catalog_digest == card["catalog_digest"]
    assert artefact.n_rows == card["n_rows"]
    assert set(artefact.runs) <= {row.run_id for row in now.measurements}
    assert (BUNDLED / ESTIMATOR).stat().st_size < 5e6


def test_writing_and_reading_keeps_every_number(folder: Path, tmp_path: Path) -> None:
    """Saved again, an artefact has the same content and version."""
    artefact, card, version = read(folder)
    saved = save(tmp_path / "again", artefact, {"n_rows": card["n_rows"]})
    again, _, version_again = read(tmp_path / "again")
    assert again.model == artefact.model
    assert again.quantiles == artefact.quantiles
    assert again.intervals == artefact.intervals
    assert (again.known.places == artefact.known.places).all()
    assert saved["version"] == version_again
    if again.libraries == artefact.libraries:
        assert version_again == version
    assert not list((tmp_path / "again").glob("*.tmp"))


@pytest.mark.parametrize("name", [ESTIMATOR, SCORECARD])
@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b"\xff\xfe", b"cos\nsystem\n(S'x'\ntR."]
)
def test_a_missing_or_damaged_file_is_stale(folder: Path, name: str, content: bytes | None) -> None:
    """Whatever stands in a file, it is parsed as JSON or refused with the command that mends it."""
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(StaleEstimatorError, match="joulewise train"):
        load(folder)


@pytest.mark.parametrize("fault", ["features", "ridge", "slopes", "intervals", "quantiles"])
def test_numbers_that_do_not_fit_are_stale(folder: Path, fault: str) -> None:
    """Other features, a slope too few or a missing interval are found on loading, not on asking."""
    plain = msgspec.json.decode((folder / ESTIMATOR).read_bytes())
    if fault == "features":
        plain["features"][0] = "log_moon"
    elif fault == "ridge":
        plain["model"]["passes"]["ridge"] = None
    elif fault == "slopes":
        plain["model"]["power"]["ridge"]["slopes"].pop()
    elif fault == "intervals":
        del plain["intervals"]["quantile"]["both"]
    else:
        del plain["quantiles"]["device"]
    (folder / ESTIMATOR).write_bytes(msgspec.json.encode(plain))
    with pytest.raises(StaleEstimatorError, match="joulewise train"):
        load(folder)


def test_a_feature_from_inside_the_window_is_rejected_by_name(folder: Path) -> None:
    """Mean power, energy, latency, temperature: none may be a feature; the runtime may."""
    plain = msgspec.json.decode((folder / ESTIMATOR).read_bytes())
    for name in ("log_mean_power", "gpu_j", "idle_watts", "latency_p95_ms", "gpu_temperature_c"):
        plain["features"][-1] = name
        (folder / ESTIMATOR).write_bytes(msgspec.json.encode(plain))
        with pytest.raises(StaleEstimatorError, match=f"'{name}' is read inside"):
            load(folder)
    for features in (power.FEATURES, runtime.FEATURES):
        assert list(checked(features)) == list(features)


def test_the_version_follows_the_content(folder: Path) -> None:
    """One changed number is another version, and another estimate."""
    before = load(folder)
    plain = msgspec.json.decode((folder / ESTIMATOR).read_bytes())
    plain["model"]["power"]["ridge"]["intercept"] += 0.2
    known = plain["known"]
    known["watts"] = [0.0] * len(known["watts"])
    (folder / ESTIMATOR).write_bytes(msgspec.json.encode(plain))
    after = load(folder)
    assert after.version != before.version
    setup = Setup(device=bundled.devices()["NVIDIA T4"], runtime_s=0.01, scope="device")
    low, high = before.estimate(setup).value, after.estimate(setup).value
    assert low is not None
    assert high == pytest.approx(low * 2.718281828**0.1, rel=0.05)
