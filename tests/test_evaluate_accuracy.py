"""`evaluate --target accuracy`: honest folds, nothing leaks, predictions for blank rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from accuracy_tables import PROBES, Tables, synthetic
from typer.testing import CliRunner

from advisor.evaluation import accuracy_metrics as metrics
from advisor.evaluation.accuracy import evaluate, family_errors
from advisor.evaluation.accuracy_predictions import (
    FULL,
    Scenario,
    baseline,
    folds,
    held_out,
    levels,
)
from advisor.evaluation.accuracy_tables import (
    AccuracyRows,
    groups_of,
    join,
    read_models,
    read_rows,
    read_tasks,
)
from advisor.evaluation.published_rows import BadTableError
from api.cli.main import app

HELD = ("Task0", "Task1")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The synthetic tables as files."""
    return synthetic().save(tmp_path_factory.mktemp("whole"))


def parted(folder: Path, seed: int = 0) -> tuple[Path, Path, Path, Path, Path]:
    """Training rows, facts, and test rows that are blank but for the probes'."""
    rows, tasks, models = synthetic(seed)
    apart = rows["mteb_task"].isin(HELD)
    test = rows[apart].sample(frac=1, random_state=seed).reset_index(drop=True)
    test.loc[~test["model"].isin(PROBES), ["accuracy", "accuracy_sd"]] = np.nan
    known = Tables(rows[~apart], tasks[~tasks["mteb_task"].isin(HELD)], models).save(folder)
    test.to_csv(folder / "test.csv", index=False)
    tasks[tasks["mteb_task"].isin(HELD)].to_csv(folder / "test_tasks.csv", index=False)
    return *known, folder / "test.csv", folder / "test_tasks.csv"


def data(paths: tuple[Path, Path, Path]) -> AccuracyRows:
    """The rows of tables."""
    rows, tasks, models = paths
    return join(rows, read_rows(rows), tasks, read_tasks(tasks), read_models(models))


def test_the_report_holds_model_baselines_and_picks(whole: tuple[Path, Path, Path]) -> None:
    """The report holds model baselines and picks."""
    report = evaluate(*whole, probes=(0, 1, 3))
    assert json.loads(json.dumps(report)) == report
    assert report["probes"].keys() == {"0", "1", "3"}
    three = report["probes"]["3"]
    assert three["mae_low"] <= three["mae"] <= three["mae_high"]
    assert three["mae"] < report["probes"]["0"]["mae"]
    for name in ("task_mean", "probe_mean", "probe_offset", "nearest_task"):
        assert three["mae"] < report["baselines"][name]["3"]["mae"]
    assert "0" not in report["baselines"]["probe_mean"]
    assert 75 <= three["coverage90"] <= 97
    picks = report["picks"]["3"]
    assert picks["by_bound"]["reached"] >= picks["by_point"]["reached"]
    assert set(report["by_task"]) == {"sentiment", "topic"}


def test_blank_rows_are_predicted_from_the_named_probes(tmp_path: Path) -> None:
    """Blank rows are predicted from the named probes."""
    rows, tasks, models, test, test_tasks = parted(tmp_path)
    out = tmp_path / "out.csv"
    report = evaluate(rows, tasks, models, test, test_tasks, PROBES, predictions=out)
    found, given = pd.read_csv(out), pd.read_csv(test)
    assert list(found.columns) == ["row", "accuracy", "low", "high"]
    assert list(found["row"]) == list(np.flatnonzero(given["accuracy"].isna()))
    assert ((found["low"] < found["accuracy"]) & (found["accuracy"] < found["high"])).all()
    true = synthetic().rows.set_index(["mteb_task", "model"])["accuracy"]
    keys = given.loc[found["row"], ["mteb_task", "model"]].itertuples(index=False)
    errors = np.abs(found["accuracy"].to_numpy() - true.loc[[tuple(key) for key in keys]])
    assert errors.mean() < 0.05
    assert report["notes"][-1].endswith("nothing to score")


def test_other_test_accuracies_change_no_prediction(tmp_path: Path) -> None:
    """Other test accuracies change no prediction."""
    rows, tasks, models, test, test_tasks = parted(tmp_path)
    out = tmp_path / "out.csv"
    blank = evaluate(rows, tasks, models, test, test_tasks, PROBES, predictions=out)
    assert blank["n_test"] == 74
    table, draw = pd.read_csv(test), np.random.default_rng(5)
    first = pd.read_csv(out)
    some = table["accuracy"].isna() & (draw.random(len(table)) < 0.5)
    table.loc[some, "accuracy"] = draw.random(int(some.sum()))
    table.to_csv(test, index=False)
    evaluate(rows, tasks, models, test, test_tasks, PROBES, predictions=out)
    second = pd.read_csv(out)
    kept = first[first["row"].isin(second["row"])].reset_index(drop=True)
    assert len(second) < len(first)
    pd.testing.assert_frame_equal(kept, second)


def test_probes_move_predictions_and_their_number_is_scored(tmp_path: Path) -> None:
    """Probes move predictions and their number is scored."""
    rows, tasks, models, test, test_tasks = parted(tmp_path)
    given = pd.read_csv(test)
    true = synthetic().rows.set_index(["mteb_task", "model"])["accuracy"]
    given["accuracy"] = [true[key] for key in zip(given["mteb_task"], given["model"], strict=True)]
    given.to_csv(test, index=False)
    report = evaluate(rows, tasks, models, test, test_tasks, PROBES)
    assert report["probes"].keys() == {"0", "1", "2", "3"}
    assert report["probes"]["3"]["mae"] < report["probes"]["0"]["mae"]
    assert report["probe_models"] == [*PROBES]


def test_the_order_of_test_rows_changes_no_prediction(tmp_path: Path) -> None:
    """The order of test rows changes no prediction."""
    rows, tasks, models, test, test_tasks = parted(tmp_path)
    out, table = tmp_path / "out.csv", pd.read_csv(test)
    evaluate(rows, tasks, models, test, test_tasks, PROBES, predictions=out)
    first = pd.read_csv(out).set_index("row")["accuracy"]
    table.iloc[::-1].to_csv(test, index=False)
    evaluate(rows, tasks, models, test, test_tasks, PROBES, predictions=out)
    second = pd.read_csv(out).set_index("row")["accuracy"]
    mirrored = second.rename(index=lambda row: len(table) - 1 - row).sort_index()
    assert mirrored.to_numpy() == pytest.approx(first.to_numpy(), abs=1e-5)


def test_a_model_missing_in_the_facts_is_predicted_from_its_row(tmp_path: Path) -> None:
    """A model missing in the facts is predicted from its row."""
    rows, tasks, models, test, test_tasks = parted(tmp_path)
    table = pd.read_csv(test)
    new = table.iloc[[0]].assign(model="new/model", accuracy=np.nan, n_active_parameters=2e7)
    pd.concat([table, new]).to_csv(test, index=False)
    out = tmp_path / "out.csv"
    evaluate(rows, tasks, models, test, test_tasks, PROBES, predictions=out)
    last = pd.read_csv(out).iloc[-1]
    assert last["row"] == len(table)
    assert last["high"] - last["low"] > 0.05


def test_siblings_versions_and_shared_data_sets_are_one_group() -> None:
    """Siblings versions and shared data sets are one group."""
    tasks = pd.DataFrame(
        {
            "mteb_task": [
                "AmazonPolarityClassification",
                "AmazonReviewsClassification",
                "PersianTextEmotion",
                "PersianTextEmotion.v2",
                "A",
                "B",
                "C",
            ],
            "dataset": ["x", "y", "p", "q", "same", "same", "own"],
        }
    )
    groups = groups_of(tasks)
    assert groups[0] == groups[1]
    assert groups[2] == groups[3]
    assert groups[4] == groups[5]
    assert len({*groups}) == 4


def test_every_group_is_held_out_once() -> None:
    """Every group is held out once."""
    groups = [f"g{n % 50}" for n in range(400)]
    parts = folds(groups)
    assert sorted(name for part in parts for name in part) == sorted({*groups})
    assert max(map(len, folds(groups, alone=0))) > 1


def test_rows_of_the_held_out_group_are_not_learned_from(whole: tuple[Path, Path, Path]) -> None:
    """Rows of the held out group are not learned from."""
    seen = data(whole)
    scenario = [Scenario("cheap", (0,))]
    first = held_out(seen, scenario)
    own = seen.table["mteb_task"].to_numpy() == "Task5"
    changed = seen.observations.accuracy.copy()
    changed[own] = changed[own][::-1] * 0.9
    rows = msgspec.structs.replace(seen.observations, accuracy=changed)
    other = AccuracyRows(seen.table, rows)
    second = held_out(other, scenario)
    asked = np.isin(first["row"], np.flatnonzero(own))
    assert first[asked]["accuracy"].to_numpy() == pytest.approx(second[asked]["accuracy"])
    assert not np.allclose(first[~asked]["accuracy"], second[~asked]["accuracy"])


def test_probes_on_fewer_texts_err_more(whole: tuple[Path, Path, Path]) -> None:
    """Probes on fewer texts err more."""
    seen = data(whole)
    scenarios = [Scenario("few", (1,), n_test=50), Scenario("many", (1,), n_test=5000)]
    found = metrics.described(seen, held_out(seen, scenarios, FULL))
    errors = (found["accuracy"] - found["true"]).abs().groupby(found["scenario"]).mean()
    assert errors["few"] > errors["many"]


def test_baselines_are_what_they_say(whole: tuple[Path, Path, Path]) -> None:
    """Baselines are what they say."""
    seen = data(whole).observations
    known = levels(seen)
    asked, probes = np.array([5, 6]), np.array([0, 1])
    measured = np.array([0.7, 0.8])
    assert baseline("probe_mean", known, asked, probes, measured, 0.5) == pytest.approx([0.75] * 2)
    offset = baseline("probe_offset", known, asked, probes, measured, 0.5)
    order = np.argsort(known.ability[asked])
    assert offset[order[0]] < offset[order[1]]
    column = int(np.argmin(np.abs(known.values[probes]).sum(0)))
    exact = 0.5 + 0.5 / (1 + np.exp(-known.values[probes, column]))
    near = baseline("nearest_task", known, asked, probes, exact, 0.5)
    assert near == pytest.approx(0.5 + 0.5 / (1 + np.exp(-known.values[asked, column])), abs=1e-6)


def test_families_are_held_out_on_known_workloads(whole: tuple[Path, Path, Path]) -> None:
    """Families are held out on known workloads."""
    report = family_errors(data(whole))
    assert report["probes"].keys() == {"0"}
    assert report["probes"]["0"]["n_rows"] == 40 * 14


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(accuracy=t["accuracy"] * 100), "row 0, column accuracy: .*allowed"),
        (lambda t: t.assign(trained_on_task_data="maybe"), "allowed: yes, no, unknown"),
        (lambda t: t.drop(columns="n_classes"), "without column.s. n_classes"),
        (lambda t: pd.concat([t, t.head(1)]), "has an earlier row on"),
        (lambda t: t.assign(mteb_task="Other"), "is not in .*nearest there"),
        (lambda t: t.assign(model=None), "row 0, column model: blank"),
        (lambda t: t.head(50), "at least 100 rows on 3 data sets"),
    ],
)
def test_a_wrong_table_is_refused(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    """A wrong table is refused."""
    rows, tasks, models = synthetic()
    paths = Tables(change(rows), tasks, models).save(tmp_path)
    with pytest.raises(BadTableError, match=message):
        evaluate(*paths)


def test_probe_models_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """Probe models that are not there are refused."""
    paths = parted(tmp_path)
    with pytest.raises(BadTableError, match=r"no row of probe model.*nobody/none"):
        evaluate(*paths, ("nobody/none",))
    with pytest.raises(BadTableError, match="blank in every row of lab5/model-5"):
        evaluate(*paths, ("lab5/model-5",))


def test_a_probe_on_too_few_texts_is_refused(tmp_path: Path) -> None:
    """A probe on too few texts is refused, with the number needed; other rows may have few."""
    paths = parted(tmp_path)
    table = pd.read_csv(paths[3])
    table.loc[table["model"] == "lab5/model-5", "n_test"] = 60
    table.to_csv(paths[3], index=False)
    assert evaluate(*paths, PROBES)["n_test"] == 74
    table.loc[table["model"] == PROBES[1], "n_test"] = 99
    table.to_csv(paths[3], index=False)
    row = int(np.flatnonzero(table["model"] == PROBES[1])[0])
    with pytest.raises(BadTableError, match=f"row {row}, column n_test: 99; .* at least 100"):
        evaluate(*paths, PROBES)


def test_the_command_prints_tables_and_json(tmp_path: Path) -> None:
    """The command prints tables and json."""
    rows, tasks, models, test, test_tasks = parted(tmp_path)
    command = ["evaluate", "--target", "accuracy", "--rows", str(rows)]
    facts = ["--tasks", str(tasks), "--models", str(models)]
    run = CliRunner().invoke(app, [*command, *facts, "--probes", "0,1"])
    assert run.exit_code == 0, run.output
    assert "probe_offset" in run.output
    out = tmp_path / "out.csv"
    other = ["--test", str(test), "--test-tasks", str(test_tasks), "--predictions", str(out)]
    named = ["--probe-models", ",".join(PROBES), "--json"]
    run = CliRunner().invoke(app, [*command, *facts, *other, *named])
    assert json.loads(run.stdout)["probe_models"] == [*PROBES]
    assert len(pd.read_csv(out)) == 74


def test_the_command_names_what_it_needs(tmp_path: Path) -> None:
    """The command names what it needs."""
    rows, tasks, _ = synthetic().save(tmp_path)
    command = ["evaluate", "--target", "accuracy", "--rows", str(rows)]
    for more in ([], ["--tasks", str(tasks)]):
        run = CliRunner().invoke(app, [*command, *more])
        assert run.exit_code == 2
        assert "needs --tasks and --models" in " ".join(run.output.split())
