"""Tests of accuracies on own texts: probes, estimates in an answer, suggestions, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from typer.testing import CliRunner

from advisor.accuracy import predictor as predictors
from advisor.accuracy.estimated import SOURCE, estimated, is_own
from advisor.accuracy.predictor import AccuracyPredictor, bundled
from advisor.accuracy.scale import to_accuracy, to_logit
from advisor.estimator.estimator import load as load_estimator
from advisor.evaluation.accuracy_training import digest, results
from advisor.recommend.advisor import Advisor
from advisor.recommend.qualification import bounds
from advisor.recommend.query import Query
from advisor.recommend.records import Recommendation
from api.cli.main import app
from calibration import suite
from calibration.plan import accuracy_probes
from calibration.records import Profile
from calibration.workloads import soundness
from calibration.workloads.errors import WorkloadError
from calibration.workloads.load import load as load_texts
from catalog.accuracy import Accuracy
from catalog.evidence import Labels
from catalog.records import Workload
from catalog.registry.obtaining import builds
from catalog.snapshot import Snapshot
from catalog.snapshot import load as load_catalog
from catalog.store.database import Store

WHOLE = load_catalog()
ESTIMATOR = load_estimator().informed(WHOLE)
MINILM = "minilm-l6-frozen-logistic"
WORDLLAMA = "wordllama-static-logistic"
REVIEWS = Workload(name="reviews", task="reviews", language="en", n_classes=2, majority_share=0.5)


def result(candidate: str, accuracy: float, regime: str = "few-shot", **more: Any) -> Accuracy:
    """A result of the suite on the reviews."""
    few = {"samples_per_label": 8.0, "n_draws": 10, "accuracy_sd": 0.02}
    given: dict[str, Any] = {"n_test": 1000, "contamination": "no", "tier": "suite"}
    given |= {"source": "calibration", "run_id": "own"} | (few if regime == "few-shot" else {})
    return Accuracy(
        candidate=candidate,
        workload="reviews",
        regime=regime,  # type: ignore[arg-type]
        accuracy=accuracy,
        **(given | more),
    )


def own(*rows: Accuracy, workload: Workload = REVIEWS) -> Snapshot:
    """The bundled catalog with results on a workload of one's own."""
    return Snapshot(
        measurements=WHOLE.measurements,
        devices=WHOLE.devices,
        workloads={**WHOLE.workloads, workload.name: workload},
        candidates=WHOLE.candidates,
        digest="own",
        accuracies=rows,
    )


BOTH_WAYS = (
    result(MINILM, 0.78),
    result(MINILM, 0.86, "full"),
    result(WORDLLAMA, 0.70),
    result(WORDLLAMA, 0.80, "full"),
    result("tfidf-word-logistic", 0.82, "full"),
)


def ask(snapshot: Snapshot, floor: float, **more: Any) -> Recommendation:
    """An answer about the reviews."""
    query = Query(task="reviews", min_acc=floor, device="NVIDIA L4", **more)
    return Advisor(snapshot, ESTIMATOR).recommend(query)


def options(answer: Recommendation) -> list[Any]:
    """All that qualifies."""
    return [each for each in (answer.chosen, *answer.alternatives) if each is not None]


def test_the_bundled_model_is_text_of_the_bundled_atlas_and_has_a_scorecard() -> None:
    """Under 3 MB; it learned from the results there are; written anew it is the same bytes."""
    text = (predictors.FOLDER / predictors.MODEL).read_bytes()
    card = json.loads((predictors.FOLDER / predictors.SCORECARD).read_bytes())
    assert len(text) < 3e6
    assert bundled().learned_from == card["learned_from"] == digest(results(WHOLE))
    assert predictors.to_text(predictors.from_text(text)) == text
    assert card["version"] == bundled().version
    errors = {k: own["mae"] for k, own in card["english"]["probes"].items()}
    assert errors["3"] < errors["1"] < errors["0"]
    for k in ("1", "3", "5"):
        ours = card["english"]["probes"][k]
        assert 85 <= ours["coverage90"] <= 95
        assert all(ours["mae"] < by[k]["mae"] for by in card["english"]["baselines"].values())


def test_a_model_of_another_layout_is_refused() -> None:
    """With what is wrong about it."""
    with pytest.raises(predictors.BadModelError, match="not an accuracy model"):
        predictors.from_text(b'{"models": {}}')
    content = json.loads((predictors.FOLDER / predictors.MODEL).read_bytes())
    content["models"]["en"]["layout"] = 0
    with pytest.raises(predictors.BadModelError, match="layout 0"):
        predictors.from_text(json.dumps(content).encode())


def test_estimates_follow_the_probes_and_their_bound_is_of_the_logit_scale() -> None:
    """A better probe raises all; full estimates lie above few-shot ones by the measured gain."""
    low, high = (
        estimated(own(result(MINILM, value)), "reviews", "few", bundled) for value in (0.7, 0.85)
    )
    assert len(low) > 200
    spoken = WHOLE.candidates["yuan-embedding-2.0-zh-frozen-logistic"]
    assert spoken.languages == ("zh",)
    assert spoken.name not in low
    assert all(high[name].value > each.value for name, each in low.items())
    few = estimated(own(*BOTH_WAYS), "reviews", "few", bundled)
    full = estimated(own(*BOTH_WAYS), "reviews", "full", bundled)
    name = "bge-small-en-v1.5-frozen-logistic"
    assert few[name].regime, full[name].regime == ("few-shot", "full")
    half = np.array([0.5])
    gains = [to_logit(np.array([x[name].value]), half)[0] for x in (few, full)]
    measured = [to_logit(np.array([x]), half)[0] for x in (0.78, 0.86, 0.70, 0.80)]
    between = sorted([measured[1] - measured[0], measured[3] - measured[2]])
    assert between[0] <= gains[1] - gains[0] <= between[1]
    assert full[name].logit_sd > few[name].logit_sd
    known = few[name]
    assert known.low < known.value < known.high
    z = 1.2815516
    logit = to_logit(np.array([known.value]), half) - z * known.logit_sd
    assert bounds([known], 0.9) == pytest.approx(to_accuracy(logit, half))
    assert bounds([known], 0.95) < bounds([known], 0.9)


def test_nothing_is_estimated_where_nothing_tells() -> None:
    """Neither without labels, nor without an encoder's result, its test size or the classes."""

    def found(labels: Labels, *rows: Accuracy, workload: Workload = REVIEWS) -> int:
        return len(estimated(own(*rows, workload=workload), "reviews", labels, never))

    def never() -> AccuracyPredictor:
        raise AssertionError("the model was loaded")

    assert found("none", *BOTH_WAYS) == 0
    assert found("full") == found("few", result(MINILM, 0.86, "full")) == 0
    assert found("full", result(MINILM, 0.8, n_test=99)) == 0
    assert found("full", result(MINILM, 0.8, contamination="yes")) == 0
    unknown = msgspec.structs.replace(REVIEWS, n_classes=None)
    assert found("full", result(MINILM, 0.8), workload=unknown) == 0


def test_full_heads_alone_place_a_workload() -> None:
    """Figures of full heads estimate full heads, wider than where both ways were measured."""
    alone = estimated(own(result(MINILM, 0.86, "full")), "reviews", "full", bundled)
    assert {each.regime for each in alone.values()} == {"full"}
    assert all("full-not-measured" not in each.warnings for each in alone.values())
    few = estimated(own(result(MINILM, 0.86)), "reviews", "full", bundled)
    assert {each.regime for each in few.values()} == {"few-shot"}
    assert all("full-not-measured" in each.warnings for each in few.values())


def test_an_answer_about_own_texts_has_estimates_beside_what_was_measured() -> None:
    """By default; measured ones stay as they are, and every option says what it is."""
    answer = ask(own(*BOTH_WAYS), 0.8, limit=1000)
    assert answer.query.accuracy_basis == "any"
    basis = {each.candidate: each.accuracy for each in options(answer)}
    assert {each.basis for each in basis.values()} == {"measured", "estimated"}
    assert (basis[MINILM].basis, basis[MINILM].value) == ("measured", 0.86)
    guessed = [each for each in basis.values() if each.basis == "estimated"]
    assert all(each.source == SOURCE and each.low < each.high for each in guessed)
    assert {each.regime for each in guessed} == {"full"}
    without = ask(own(*BOTH_WAYS), 0.8, accuracy_basis="published", limit=1000)
    assert {each.accuracy.basis for each in options(without)} == {"measured"}
    few = ask(own(*BOTH_WAYS), 0.7, labels="few", limit=1000)
    assert {each.accuracy.regime for each in options(few)} == {"few-shot"}
    assert not any(
        each.accuracy.basis == "estimated"
        for each in options(ask(own(*BOTH_WAYS), 0.1, labels="none"))
    )


def test_a_higher_floor_never_needs_less_energy() -> None:
    """Estimated and measured options stand in one order."""
    joules = []
    for floor in np.arange(0.6, 0.95, 0.05):
        chosen = ask(own(*BOTH_WAYS), float(floor)).chosen
        joules.append(np.inf if chosen is None else chosen.energy_j_per_1000.value)
    assert joules == sorted(joules)


def test_a_choice_on_an_estimate_says_so_and_names_the_run_that_settles_it() -> None:
    """The first suggestion is the choice, others are cheaper; at most three, with commands."""
    answer = ask(own(*BOTH_WAYS), 0.88)
    assert answer.chosen is not None
    assert answer.chosen.accuracy is not None
    assert answer.chosen.accuracy.basis == "estimated"
    assert "accuracy-estimated" in {each.code for each in answer.warnings}
    first, *others = answer.suggestions
    assert first.candidate == answer.chosen.candidate
    assert len(others) <= 2
    for each in answer.suggestions:
        command = f"joulewise calibrate --workload reviews --candidate {each.candidate}"
        assert each is first or builds(WHOLE.candidates[each.candidate])
        assert (each.command == command) == builds(WHOLE.candidates[each.candidate])
        assert "likely to reach 0.88" in each.reason
    joules = answer.chosen.energy_j_per_1000.value
    cheaper = [e for e in answer.suggestions if e.candidate != answer.chosen.candidate]
    assert all((each.expected_energy_j_per_1000 or 0) < joules for each in cheaper)


def test_where_nothing_is_measured_the_probes_are_suggested() -> None:
    """On texts of one's own on which no encoder was measured and nothing qualifies."""
    counted = own(result("tfidf-word-logistic", 0.8, "full"))
    (first,) = ask(counted, 0.9).suggestions
    assert first.command == "joulewise calibrate --workload reviews --accuracy-probes"
    for more in ({"labels": "none"}, {"basis": "measured"}, {"accuracy_basis": "published"}):
        commands = [each.command for each in ask(counted, 0.9, **more).suggestions]
        assert commands
        assert not any("--accuracy-probes" in command for command in commands)


def test_reference_workloads_are_estimated_only_where_it_is_asked_for() -> None:
    """The holes alone: what is published stays, and trained-on candidates stay contaminated."""
    assert not is_own("banking77")
    asked = {"task": "intent", "workload": "banking77", "min_acc": 0.7, "device": "NVIDIA L4"}
    advisor = Advisor(WHOLE, ESTIMATOR)
    plain = advisor.recommend(Query(**asked, limit=1000, labels="few"))
    assert plain.query.accuracy_basis == "published"
    assert "estimated" not in {each.accuracy.basis for each in options(plain)}
    wide = advisor.recommend(Query(**asked, limit=1000, labels="few", accuracy_basis="any"))
    known = {each.candidate: each.accuracy.value for each in options(plain)}
    found = {each.candidate: each.accuracy for each in options(wide)}
    assert {each.basis for each in found.values()} >= {"published", "estimated"}
    assert all(found[name].value == value for name, value in known.items() if name in found)
    contaminated = {
        row.candidate for row in WHOLE.accuracies.of("banking77") if row.contamination == "yes"
    }
    assert contaminated.isdisjoint(found)


TEXTS = {
    "one class": ([("x", "a")] * 300, "one class only"),
    "three texts": ([("u", "a"), ("v", "b"), ("w", "a")], "at least 100 are needed"),
    "few test texts": ([(f"{n}", "ab"[n % 2]) for n in range(400)], "at least 100 are needed"),
    "many classes": ([(f"{n}", f"c{n % 500}") for n in range(5000)], "at most 329 are allowed"),
    "rare class": (
        [(f"{n}", "ab"[n % 2]) for n in range(1000)] + [(f"r{n}", "c") for n in range(5)],
        "at least 8 of each are needed",
    ),
    "missing labels": ([(f"{n}", "ab"[n % 2] if n % 9 else "") for n in range(999)], "every text"),
}


@pytest.mark.parametrize("what", TEXTS)
def test_misleading_texts_are_refused_with_the_number_needed(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4, the number in words, nothing stored, no text quoted."""
    rows, needed = TEXTS[what]
    file = tmp_path / "own.csv"
    file.write_text("text,label\n" + "".join(f"secret {text},{label}\n" for text, label in rows))
    store = tmp_path / "own.sqlite"
    monkeypatch.setattr("api.cli.context.settings", settings_of(store))
    monkeypatch.setattr("api.cli.main.settings", settings_of(store))
    done = CliRunner().invoke(app, ["calibrate", "--workload", str(file), "--accuracy-probes"])
    assert done.exit_code == 4
    said = " ".join(done.output.replace("│", " ").split())
    assert needed in said
    assert "secret" not in said
    assert not store.exists()


def settings_of(store: Path) -> Callable[[], Any]:
    """Settings of a catalog of the test's own."""
    from api.service.settings import Settings

    return lambda: Settings(catalog=f"sqlite:///{store}")


def test_texts_on_both_sides_of_the_split_are_refused(tmp_path: Path) -> None:
    """More than one in a hundred; the case of letters and further blanks do not count."""
    rows = [(f"text {n}", "ab"[n % 2], "train" if n < 800 else "test") for n in range(1000)]
    file = tmp_path / "own.csv"

    def written(more: list[tuple[str, str, str]]) -> None:
        lines = "".join(",".join(row) + "\n" for row in rows + more)
        file.write_text("text,label,split\n" + lines)
        soundness.check(load_texts(str(file), None, {}))

    written([("Text  1", "a", "test")])
    with pytest.raises(WorkloadError, match=r"5 of 205 test texts stand in train as well"):
        written([(f"Text  {n}", "a", "test") for n in range(5)])


def test_facts_of_own_texts_are_counted(tmp_path: Path) -> None:
    """Majority share and mean length of the test texts, which estimates and answers read."""
    file = tmp_path / "own.csv"
    rows = [("abcd", "a", "test")] * 3 + [("ab", "b", "test")] + [("x", "a", "train")]
    rows += [("y", "b", "train")]
    file.write_text("text,label,split\n" + "".join(",".join(row) + "\n" for row in rows))
    found = load_texts(str(file), None, {}).workload
    assert (found.majority_share, found.mean_chars) == (0.75, 3.5)


def test_probes_are_measured_both_ways_those_at_hand_first(tmp_path: Path) -> None:
    """Encoders whose weights lie in the folder; the usual one where none does."""
    assert list(accuracy_probes.encoders(WHOLE.candidates, tmp_path)) == [MINILM]
    names = ["bge-small-en-v1.5-frozen-logistic", "minilm-l6-frozen-logistic"]
    for name in names:
        folder = tmp_path / str(WHOLE.candidates[name].checkpoint)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    able = accuracy_probes.encoders(WHOLE.candidates, tmp_path)
    assert MINILM in able
    assert all(builds(each) for each in able.values())
    probes = accuracy_probes.probes(WHOLE.candidates, [MINILM])
    assert list(probes)[:2] == [f"{MINILM}-few-shot", MINILM]
    assert probes["tfidf-word-logistic"].samples_per_label is None
    assert probes[f"{WORDLLAMA}-few-shot"].samples_per_label == 8


UPLOADED = """candidate,workload,workload_task,workload_language,workload_n_classes,regime,\
samples_per_label,n_draws,source,accuracy,accuracy_sd,n_test,contamination
minilm-l6-frozen-logistic,reviews,reviews,en,2,few-shot,8,10,my-team,0.78,0.02,400,no
minilm-l6-frozen-logistic,reviews,reviews,en,2,full,,,my-team,0.87,,400,no
wordllama-static-logistic,reviews,reviews,en,2,full,,,my-team,0.81,,400,no
"""


def test_uploaded_figures_are_enough(client: TestClient[Litestar], writer: dict[str, str]) -> None:
    """Accuracies alone by HTTP: the answer estimates, the page shows both kinds apart."""
    assert client.post("/measurements", content=UPLOADED, headers=writer).status_code == 201
    asked = "task=reviews&min_acc=0.88&device=NVIDIA L4"
    answer = client.get(f"/recommend?{asked}").json()
    assert answer["query"]["accuracy_basis"] == "any"
    assert answer["chosen"]["accuracy"]["basis"] == "estimated"
    assert "accuracy-estimated" in {each["code"] for each in answer["warnings"]}
    assert answer["suggestions"][-1]["command"].startswith("joulewise calibrate --workload reviews")
    page = client.get(f"/?{asked}", headers={"Accept": "text/html"}).text
    assert "known and estimated" in page
    assert "Next run:" in page
    known = client.get("/recommend?task=reviews&min_acc=0.5&accuracy_basis=published").json()
    options = [known["chosen"], *known["alternatives"]]
    assert {each["accuracy"]["basis"] for each in options} == {"published"}


def test_the_scorecard_is_served(client: TestClient[Litestar]) -> None:
    """As JSON for programs, as a table for browsers."""
    card = client.get("/estimator").json()["accuracy"]
    assert card["n_rows"] > 20_000
    page = client.get("/estimator", headers={"Accept": "text/html"}).text
    assert "Accuracies on texts of your own" in page
    assert card["version"] in page


TINY = Profile(name="quick", window_s=0.02, repeats=3, warmup_s=0.02, idle_s=0.01, retries=0)


def test_probes_are_measured_and_an_answer_follows(
    store: Store, models: Path, tmp_path: Path, one_thread: None
) -> None:
    """From a file of texts: both ways, stored with what the catalog lacks, then estimated from."""
    pytest.importorskip("wordllama")
    words = {"good": "fine great lovely superb", "bad": "awful poor sad broken"}
    draw = np.random.default_rng(0)
    lines = [
        f"{' '.join(draw.choice((words[label] + ' it was the film').split(), 3))} {n},{label}"
        for n, label in enumerate(["good", "bad"] * 400)
    ]
    file = tmp_path / "films.csv"
    file.write_text("text,label\n" + "\n".join(lines))
    (tmp_path / "films.meta.json").write_text('{"language": "en", "task": "film reviews"}')
    snapshot = Snapshot.load(store.url)
    texts = accuracy_probes.sound_texts(snapshot, [str(file)], None)
    able = accuracy_probes.encoders(snapshot.candidates, models)
    declared = accuracy_probes.probes(snapshot.candidates, list(able))
    plan = suite.plan(snapshot, texts=texts, declared=declared, profile=TINY, models=models)
    inference = [trial for trial in plan.trials if trial.phase == "inference"]
    assert [trial.candidate for trial in inference] == list(declared)
    summary = suite.calibrate(plan, store)
    assert not summary.reasons
    measured = Snapshot.load(store.url)
    there = measured.accuracies.evidence("films")
    assert {each.regime for each in there[MINILM]} == {"few-shot", "full"}
    query = Query(task="film reviews", min_acc=0.6, device="NVIDIA L4", limit=1000)
    answer = Advisor(measured, ESTIMATOR).recommend(query)
    bases = {each.accuracy.basis for each in options(answer) if each.accuracy}
    assert bases == {"measured", "estimated"}


def test_a_question_that_needs_no_estimate_loads_no_model() -> None:
    """Neither the model nor pandas, which reads its tables."""
    code = (
        "import sys\n"
        "from advisor import recommend\n"
        "from catalog.snapshot import load\n"
        "recommend(snapshot=load(), task='sentiment', min_acc=0.85)\n"
        "print('advisor.accuracy.model' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["False", "False"]
