"""Tests of `advisor.artefact`: plain numbers in, plain numbers out, and nothing runs."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from advisor.artefact import ESTIMATOR, SCORECARD, StaleEstimatorError, read, save
from advisor.estimator import load
from advisor.setups import Setup
from catalog import bundled, snapshot

BUNDLED = Path(str(files("advisor"))) / "artefact_files"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled artefact."""
    return Path(shutil.copytree(BUNDLED, tmp_path / "artefact"))


def test_the_bundled_artefact_belongs_to_the_bundled_figures() -> None:
    """It was trained on what is in the box, and its scorecard says the same."""
    artefact, card, _ = read(BUNDLED)
    assert artefact.catalog_digest == card["catalog_digest"] == snapshot.load().digest


def test_writing_and_reading_keeps_every_number(folder: Path, tmp_path: Path) -> None:
    """Saved again, an artefact has the same content and version."""
    artefact, card, version = read(folder)
    saved = save(tmp_path / "again", artefact, {"n_rows": card["n_rows"]})
    again, _, version_again = read(tmp_path / "again")
    assert again.power == artefact.power
    assert again.half_widths == artefact.half_widths
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


@pytest.mark.parametrize("fault", ["features", "slopes", "half_widths"])
def test_numbers_that_do_not_fit_are_stale(folder: Path, fault: str) -> None:
    """Other features, a slope too few or a missing interval are found on loading, not on asking."""
    plain = msgspec.json.decode((folder / ESTIMATOR).read_bytes())
    if fault == "features":
        plain["features"][0] = "log_moon"
    elif fault == "slopes":
        plain["power"]["slopes"].pop()
    else:
        del plain["half_widths"]["device"]
    (folder / ESTIMATOR).write_bytes(msgspec.json.encode(plain))
    with pytest.raises(StaleEstimatorError, match="joulewise train"):
        load(folder)


def test_the_version_follows_the_content(folder: Path) -> None:
    """One changed number is another version, and another estimate."""
    before = load(folder)
    text = (folder / ESTIMATOR).read_text()
    value = before.artefact.power.intercept
    (folder / ESTIMATOR).write_text(text.replace(f"{value!r}", f"{value + 1!r}"))
    after = load(folder)
    assert after.version != before.version
    setup = Setup(device=bundled.devices()["NVIDIA A30"], runtime_s=0.01)
    low, high = before.estimate(setup).value, after.estimate(setup).value
    assert low is not None
    assert high == pytest.approx(low * 2.718281828)
