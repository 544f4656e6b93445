"""Accuracies of a catalog: stored apart from measurements, joined back, turned into evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from test_database import downgraded, row, run

from catalog import reference_data, snapshot
from catalog.accuracies import from_measurement, quantisation_loss
from catalog.accuracy import Accuracy
from catalog.errors import BadRunFileError, ConflictError
from catalog.files import run_file
from catalog.files.validation import Known
from catalog.records import Candidate, Measurement, RunFile, Workload
from catalog.store.database import Store


def judged(run_id: str = "r", **more: Any) -> Measurement:
    """A measurement of the suite with an accuracy beside it."""
    given = {"source": "calibration", "accuracy": 0.91, "n_test": 1821, "accuracy_split": "test"}
    return row(run_id, **(given | {"candidate": "tfidf-word-logistic"} | more))


def alone(value: float = 0.9, **more: Any) -> Accuracy:
    """A result without a measurement."""
    given: dict[str, Any] = {"candidate": "tfidf-word-logistic", "workload": "sst2"}
    given |= {"regime": "full", "source": "team", "tier": "authors", "n_test": 1821}
    return Accuracy(accuracy=value, **(given | more))


def beside(store: Store) -> list[Accuracy]:
    """The results beside the measurements of a store."""
    now = snapshot.load(store)
    return [each for each in now.accuracies.of("sst2") if each.run_id in ("r", "s")]


def test_setups_of_one_run_are_one_result(store: Store) -> None:
    """Rows of one run repeat an accuracy; it is evidence once, and every row keeps it."""
    rows = [judged(batch_size=float(n)) for n in (1, 8, 32)]
    store.add(run(*rows))
    (kept,) = beside(store)
    assert (kept.accuracy, kept.tier, kept.regime) == (0.91, "suite", "full")
    assert store.measurements() == rows
    assert store.add(run(*rows)).present == 3


def test_chips_that_round_otherwise_keep_both_values(store: Store) -> None:
    """The same candidate, run and precision on two devices may differ in the last digit."""
    rows = [judged(device="NVIDIA A30"), judged(device="NVIDIA L4", accuracy=0.9102)]
    assert store.add(run(*rows)).inserted == 2
    assert store.measurements() == rows
    assert store.add(run(*rows)).present == 2
    assert sorted(each.accuracy or 0 for each in beside(store)) == [0.91, 0.9102]


def test_a_result_alone_of_the_same_run_leaves_its_measurement_as_it_is(store: Store) -> None:
    """A few-shot head judged in the run of a full one is another result."""
    store.add(run(judged()))
    few = alone(0.6, run_id="r", regime="few-shot", samples_per_label=8.0, split="dev", n_test=100)
    store.add(RunFile(measurements=(), accuracies=(few,)))
    assert store.measurements() == [judged()]


def test_what_a_row_says_without_an_accuracy_is_kept(store: Store) -> None:
    """Test size and contamination of a run that was not judged."""
    bare = row("r", n_test=500, contamination="model card lists SST-2")
    store.add(run(bare))
    assert store.measurements() == [bare]


def test_a_candidate_described_before_keeps_its_regime(store: Store) -> None:
    """A second file need not describe it again."""
    own = Candidate(name="my-llm", family="zero-shot-llm", n_parameters=1e9)
    first = RunFile(measurements=(judged(candidate="my-llm"),), candidates=(own,))
    store.add(first)
    store.add(run(judged("s", candidate="my-llm", device="NVIDIA L4")))
    assert {each.regime for each in beside(store)} == {"zero-shot"}


def test_a_measurement_that_is_there_with_another_accuracy_conflicts(store: Store) -> None:
    """Nothing is stored."""
    store.add(run(judged()))
    for other in (judged(accuracy=0.8), judged(accuracy=None)):
        with pytest.raises(ConflictError, match="are there already with other content"):
            store.add(run(other))
    assert store.measurements() == [judged()]


def test_a_private_model_that_came_by_its_accuracy_alone_can_be_chosen(store: Store) -> None:
    """Who brings a result can run the model."""
    store.add(RunFile(measurements=(), accuracies=(alone(candidate="tfidf-char-logistic"),)))
    assert "tfidf-char-logistic" in snapshot.load(store).own_candidates


def test_results_alone_are_stored_once_and_contradictions_are_named(store: Store) -> None:
    """A second value under the same key names its row and columns; nothing is stored."""
    added = store.add(RunFile(measurements=(), accuracies=(alone(), alone(source="other"))))
    assert (added.accuracies, added.accuracies_present) == (2, 0)
    again = store.add(RunFile(measurements=(), accuracies=(alone(),)))
    assert (again.accuracies, again.accuracies_present) == (0, 1)
    with pytest.raises(ConflictError, match=r"row 2, .*column 'accuracy': 0\.95 here"):
        store.add(RunFile(measurements=(), accuracies=(alone(source="new"), alone(0.95))))
    assert len(store.accuracies()) == 2


def test_a_store_from_before_opens_migrates_and_answers(store: Store) -> None:
    """Rows stay what they were; their accuracies are evidence before and after the migration."""
    rows = [judged(), judged("s", accuracy=0.92, measured_at="2030-01-01"), row("plain")]
    store.add(run(*rows))
    downgraded(store, "0004")
    with store.connection() as connection:
        assert not sa.inspect(connection).has_table("accuracy")
    assert store.measurements() == rows
    old = snapshot.load(store).accuracies.answers("sst2")["tfidf-word-logistic"]
    store.migrate()
    assert store.measurements() == rows
    after = snapshot.load(store).accuracies.answers("sst2")["tfidf-word-logistic"]
    assert (old.value, old.basis) == (after.value, after.basis) == (0.92, "measured")
    assert store.add(run(*rows)).present == 3


def test_a_run_file_of_the_old_columns_imports(store: Store, tmp_path: Path) -> None:
    """A file of measurements with accuracy columns brings both, and exports as it came."""
    frame = run_file.to_frame([judged(device="NVIDIA A30")])
    path = tmp_path / "old.csv"
    path.write_bytes(run_file.dump(frame, "csv"))
    known = Known(reference_data.devices(), reference_data.workloads(), reference_data.candidates())
    store.add(run_file.read(path, known))
    (kept,) = store.measurements()
    assert kept.accuracy == 0.91
    again = run_file.dump(run_file.to_frame(store.measurements()), "csv")
    assert run_file.parse(again, "csv", known) == run_file.read(path, known)


def test_the_newest_run_of_the_suite_supersedes_and_outweighs(store: Store) -> None:
    """Published figures stay beside it; a newer run of ours replaces an older one."""
    store.add(
        run(judged(measured_at="2030-01-01"), judged("s", accuracy=0.8, measured_at="2031-01-01"))
    )
    found = snapshot.load(store).accuracies.answers("sst2")["tfidf-word-logistic"]
    assert (found.value, found.tier, found.basis) == (0.8, "suite", "measured")


def test_the_digest_follows_stored_accuracies(store: Store) -> None:
    """An answer is pinned to what is known about accuracy too."""
    before = snapshot.load(store).digest
    store.add(RunFile(measurements=(), accuracies=(alone(),)))
    assert snapshot.load(store).digest != before


def uploaded(text: str) -> tuple[Accuracy, ...]:
    """Results of a run file of accuracies alone."""
    known = Known(reference_data.devices(), reference_data.workloads(), reference_data.candidates())
    return run_file.parse(text.encode(), "csv", known).accuracies


HEADER = "candidate,workload,regime,source,accuracy,n_test"


def test_an_upload_has_the_tier_it_declares_and_hides_nothing(store: Store) -> None:
    """Undeclared it counts as a small repository; published results of better tiers decide."""
    before = snapshot.load(store).accuracies.answers("sst2")["distilbert-finetuned"]
    assert before.tier == "authors"
    (plain,) = uploaded(f"{HEADER}\ndistilbert-finetuned,sst2,full,team,0.99,872\n")
    assert plain.tier == "card"
    store.add(RunFile(measurements=(), accuracies=(plain,)))
    after = snapshot.load(store).accuracies.answers("sst2")["distilbert-finetuned"]
    assert (after.value, after.basis) == (before.value, "published")
    assert after.n_others == before.n_others + 1
    assert "team (card, split not stated): 0.990" in after.others
    (stated,) = uploaded(f"{HEADER},tier\ndistilbert-finetuned,sst2,full,team,0.99,872,authors\n")
    assert stated.tier == "authors"


def test_results_of_our_suite_decide_and_published_ones_stay_visible(store: Store) -> None:
    """A team's runs of the suite are measured; a file cannot claim the tier for another source."""
    line = "distilbert-finetuned,sst2,full,{},0.9,872,suite"
    (own,) = uploaded(f"{HEADER},tier\n{line.format('calibration')}\n")
    store.add(RunFile(measurements=(), accuracies=(own,)))
    found = snapshot.load(store).accuracies.answers("sst2")["distilbert-finetuned"]
    assert (found.value, found.basis, found.tier) == (0.9, "measured", "suite")
    assert found.n_others == len(found.others) >= 3
    with pytest.raises(BadRunFileError, match="'suite' is for source 'calibration'"):
        uploaded(f"{HEADER},tier\n{line.format('team')}\n")
    with pytest.raises(BadRunFileError, match="must be one of suite, authors"):
        uploaded(f"{HEADER},tier\n{line.format('team').replace('suite', 'best')}\n")


def test_a_stored_measurement_of_another_tool_is_no_run_of_our_suite() -> None:
    """Its accuracy counts as one of small repositories unless somebody vouches for it."""
    other = from_measurement(judged(source="team"), None)
    assert other is not None
    assert other.tier == "card"


def test_what_is_unknown_about_a_workload_is_said(store: Store) -> None:
    """Without the share of the largest class no floor can be excluded."""
    now = snapshot.load(store).accuracies
    assert all("majority-unknown" in e.warnings for e in now.answers("enron-spam").values())
    assert not any("majority-unknown" in e.warnings for e in now.answers("sms-spam").values())
    assert all("splits-differ" in e.warnings for e in now.answers("sms-spam").values())


def test_own_workloads_have_evidence(store: Store) -> None:
    """A team's own data set is described beside its results."""
    reviews = Workload(name="reviews", task="sentiment", language="en", n_classes=2)
    store.add(
        RunFile(measurements=(), accuracies=(alone(workload="reviews"),), workloads=(reviews,))
    )
    now = snapshot.load(store)
    assert now.accuracies.answers("reviews")["tfidf-word-logistic"].value == 0.9
    assert "reviews" in now.tasks()["sentiment"]


def test_int8_takes_the_float_value_less_a_learned_loss(store: Store) -> None:
    """A candidate without int8 results is estimated, one with its own is not."""
    now = snapshot.load(store).accuracies
    loss = quantisation_loss()
    assert loss is not None
    assert loss.n >= 3
    plain, small = now.answers("sst2"), now.answers("sst2", numeric_format="int8")
    name = "roberta-base-finetuned"
    assert small[name].basis == "estimated"
    assert small[name].value == pytest.approx(plain[name].value - loss.mean)
    assert small["distilbert-finetuned"].basis == "published"


def test_contamination_of_a_measurement_becomes_a_note() -> None:
    """Its free text stays; as evidence it counts as possible."""
    found = from_measurement(judged(contamination="seen in training"), None)
    assert found is not None
    assert (found.contamination, found.notes) == ("possible", "seen in training")
    assert from_measurement(row(), None) is None


def test_few_labels_never_see_a_full_head(store: Store) -> None:
    """Banking77 with frozen MiniLM is 0.80 from eight texts per class."""
    now = snapshot.load(store).accuracies
    few = now.answers("banking77", labels="few")
    assert few["minilm-l6-frozen-logistic"].samples_per_label == 8
    assert "distilbert-finetuned" not in few
    none = now.answers("banking77", labels="none")
    assert {each.regime for each in none.values()} <= {"zero-shot", "lexicon"}
    assert now.answers("banking77")["minilm-l6-frozen-logistic"].regime == "full"
    full = next(e for e in now.answers("banking77").values() if e.regime == "few-shot")
    assert "full-not-measured" in full.warnings


def test_values_across_a_task_are_of_one_language(store: Store) -> None:
    """English sets alone tell what an English model does across sentiment."""
    now = snapshot.load(store).accuracies
    values = now.values("sentiment", "en")["minilm-l6-frozen-logistic"]
    assert {"imdb", "amazon-polarity"} <= set(values)
    assert not any(name.endswith("-de") for name in values)
    assert msgspec.json.encode(values)
