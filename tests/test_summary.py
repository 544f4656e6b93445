"""Tests of a calibration's end: fronts, the plot, the summary, the log, and Ctrl-C for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from advisor.estimator.estimator import load
from api.cli import front_plot, summary
from api.cli.results import (
    LOSES_ACCURACY,
    RAISES_ENERGY,
    WorkloadResult,
    results,
    serving_comparisons,
)
from api.cli.summary import CalibrationSummary, NotMeasured, serving_sentence
from calibration.records import Event
from catalog.records import Candidate, Device, Measurement, Workload
from catalog.snapshot import Snapshot
from catalog.store.database import Store

ROOT = Path(__file__).resolve().parent.parent
SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("cheap", "middle", "dear", "poor")


def row(candidate: str, joules: float | None, accuracy: float, **values: Any) -> Measurement:
    """1,000 texts on a CPU; with joules a counter was read, without only the clock."""
    cells: dict[str, Any] = {
        "run_id": "calibration-1",
        "source": "calibration",
        "workload": "sst2",
        "candidate": candidate,
        "device": "C",
        "scenario": "offline",
        "n_items": 1000.0,
        "runtime_s": 1.0,
        "accuracy": accuracy,
        "n_test": 1000,
        "cv": 0.01,
    }
    if joules is not None:
        cells |= {"cpu_j": joules * 0.8, "cpu_label": "measured"}
        cells |= {"dram_j": joules * 0.2, "dram_label": "measured"}
    return Measurement(**(cells | values))


def found(*rows: Measurement, devices: tuple[str, ...] = ("C",)) -> list[WorkloadResult]:
    """What a calibration with these rows shows."""
    snapshot = Snapshot(
        measurements=rows,
        devices={name: Device(name=name, kind="cpu", tdp_w=100.0) for name in ("C", "D")},
        workloads={"sst2": Workload(name="sst2", task="sentiment")},
        candidates={n: Candidate(name=n, family="tf-idf", n_parameters=1e5) for n in (*NAMES, "x")},
        digest="d",
    )
    given = {"workloads": ["sst2", "unheard-of"], "devices": devices, "candidates": NAMES}
    return results(snapshot, load(), **given)


MEASURED = (
    row("dear", 50.0, 0.9),
    row("cheap", 1.0, 0.7),
    row("middle", 5.0, 0.8),
    row("poor", 6.0, 0.75),
)


def test_the_front_holds_what_nothing_beats() -> None:
    """Of four candidates the one that is dearer and less accurate than another is left out."""
    (result,) = found(*MEASURED)
    assert (result.workload, result.scope, result.measured) == ("sst2", "host", True)
    assert [option.candidate for option in result.options] == ["cheap", "middle", "poor", "dear"]
    assert [option.candidate for option in result.front] == ["cheap", "middle", "dear"]


def test_only_what_was_calibrated_here_is_shown() -> None:
    """Figures of others, of other devices and of other candidates stay out; one row per name."""
    (result,) = found(
        *MEASURED,
        row("cheap", 0.1, 0.99, source="somebody"),
        row("cheap", 0.1, 0.99, device="D"),
        row("x", 0.1, 0.99),
        row("middle", 4.0, 0.8, batch_size=128.0, repeat_group="length-sorted"),
    )
    assert [option.candidate for option in result.options] == ["cheap", "middle", "poor", "dear"]
    assert result.options[1].energy_j_per_1000.value == pytest.approx(4.0)


def test_scopes_are_not_mixed() -> None:
    """With a counter of the chip alone everything is shown in that scope."""
    chip = {"dram_j": None, "dram_label": None}
    (result,) = found(row("cheap", 1.0, 0.7, **chip), row("dear", 50.0, 0.9, **chip))
    assert (result.scope, result.measured) == ("device", True)
    assert {option.energy_j_per_1000.scope for option in result.options} == {"device"}


def test_without_counters_the_order_is_said_to_be_an_estimate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Modelled joules never rank; the summary says by what the front was found."""
    modelled = {"cpu_label": "modelled", "dram_label": "modelled"}
    rows = (row("cheap", 9e3, 0.7, **modelled), row("dear", 1.0, 0.9, runtime_s=40.0, **modelled))
    (result,) = found(*rows)
    assert not result.measured
    assert [option.candidate for option in result.options] == ["cheap", "dear"]
    summary.print_summary(ended(result))
    said = " ".join(capsys.readouterr().out.split())
    assert "no counter was read" in said
    assert "estimate" in said
    assert "9,000" in said


def ended(*found: WorkloadResult, **values: Any) -> CalibrationSummary:
    """A summary."""
    given: dict[str, Any] = {
        "run_id": "calibration-1",
        "done": 3,
        "present": 0,
        "skipped": 1,
        "failed": 0,
        "reasons": (NotMeasured(candidate="x", workload="sst2", reason="[no] checkpoint"),),
        "results": found,
        "log": "/logs/run.log",
        "plot": "/logs/run.svg",
    }
    return CalibrationSummary(**(given | values))


def test_the_summary_says_front_losses_and_where_files_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each candidate with its figures, the front marked, reasons as they are, paths."""
    summary.print_summary(ended(*found(*MEASURED)))
    out = capsys.readouterr().out
    marked = [line.split()[1] for line in out.splitlines() if line.startswith("●  ")]
    assert marked == ["cheap", "middle", "dear"]
    assert "x on sst2: [no] checkpoint" in out
    assert "3 measured, 0 present, 1 skipped, 0 failed" in out
    assert "/logs/run.svg" in out
    assert "/logs/run.log" in out


def test_the_plot_is_sound_and_true_to_the_figures() -> None:
    """Well-formed, escaped, more energy further right, more accuracy higher, names apart."""
    many = [row("middle", 5.0, 0.8, device="C", repeat_group=str(n)) for n in range(2)]
    drawn = front_plot.svg(found(*MEASURED, *many), "calibration-1 <script>")
    root = ET.fromstring(drawn)  # noqa: S314
    assert "<script" not in drawn
    circles = root.findall(f".//{SVG}circle")
    xs = [float(circle.attrib["cx"]) for circle in circles]
    ys = [float(circle.attrib["cy"]) for circle in circles]
    assert xs == sorted(xs)  # options are cheapest first
    accuracies = {"cheap": 0.7, "middle": 0.8, "poor": 0.75, "dear": 0.9}
    by_height = sorted(zip(ys, accuracies.values(), strict=True))
    assert [share for _, share in by_height] == sorted(accuracies.values(), reverse=True)
    assert (xs[3] - xs[0]) / (xs[1] - xs[0]) == pytest.approx(
        1 + 1 / 0.69897, rel=0.02
    )  # log10 of 50 over log10 of 5
    names = [text for text in root.iter(f"{SVG}text") if "name" in text.attrib.get("class", "")]
    heights = sorted(float(name.attrib["y"]) for name in names)
    assert min(b - a for a, b in pairwise(heights)) >= 16
    won = {name.text for name in names if "won" in name.attrib["class"]}
    assert won == {"cheap", "middle", "dear"}
    assert not [c for c in circles if "guess" in c.attrib["class"]]


def test_nothing_to_draw_is_no_plot(tmp_path: Path) -> None:
    """Where nothing has an accuracy no file is written."""
    assert summary.write_plot((), "run", tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_logs_lie_beside_the_catalog(tmp_path: Path) -> None:
    """A file catalog has its logs in its folder, a server's in the user's state directory."""
    file = summary.default_log(Store(f"sqlite:///{tmp_path / 'catalog.sqlite'}"))
    assert file.parent == tmp_path / "calibrations"
    assert file.suffix == ".jsonl"
    server = summary.default_log(Store("postgresql://nobody@localhost/none"))
    assert tmp_path not in server.parents


COMMAND = """
import signal
from api.cli.main import app
from calibration import records

signal.signal(signal.SIGINT, signal.default_int_handler)  # as at a terminal, whoever runs the tests

records.PROFILES["quick"] = records.Profile(
    name="quick", window_s=60, repeats=3, warmup_s=0.5, retries=0
)
app()
"""
"""`joulewise` with windows of a minute: no trial ends before it is interrupted."""


def calibrating(folder: Path, *words: str) -> subprocess.Popen[str]:
    """`joulewise calibrate` as a process of its own, with an own catalog and lock."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JOULEWISE_")}
    environment |= {
        "JOULEWISE_CATALOG": f"sqlite:///{folder / 'catalog.sqlite'}",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder),
    }
    command = [sys.executable, "-c", COMMAND, "calibrate", *words]
    return subprocess.Popen(
        command, env=environment, cwd=folder, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    """SIGINT in the middle of the second trial: exit 130, one row, a summary, a sound catalog."""
    with calibrating(tmp_path, "--candidate", "bow-complement-nb") as run:
        assert run.stderr is not None
        assert run.stderr.readline().startswith("1/3 bow-complement-nb on synthetic, train:")
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=120)
    assert run.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted; finished trials are kept" in out
    assert "1 measured" in out
    store = Store(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    assert [kept.phase for kept in store.measurements()] == ["train"]
    store.engine.dispose()
    (log,) = (tmp_path / "calibrations").glob("*.jsonl")
    head, *steps, last = map(json.loads, log.read_text().splitlines())
    assert (head["kind"], head["pending"], head["total"]) == ("plan", 3, 3)
    assert [(each["kind"], each["phase"]) for each in steps[:2]] == [
        ("started", "train"),
        ("finished", "train"),
    ]
    assert last["interrupted"]


def test_ctrl_c_with_only_training_rows_of_an_own_workload(tmp_path: Path) -> None:
    """A workload that the catalog knows by its training alone has no results, and no error."""
    rows = [f"{word} {number},{word}" for number in range(200) for word in ("good", "bad")]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "own.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    words = ("--workload", "own", "--data", "data", "--candidate", "bow-complement-nb", "--json")
    with calibrating(tmp_path, *words) as run:
        assert run.stdout is not None
        for _ in range(3):
            run.stdout.readline()
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=120)
    assert run.returncode == 130, err
    assert "Traceback" not in err
    last = json.loads(out.splitlines()[-1])
    assert (last["done"], last["results"], last["interrupted"]) == (1, [], True)


def test_json_is_a_line_for_each_step_and_the_summary_last(tmp_path: Path) -> None:
    """Machines read steps as they happen; the last line is the summary, also after Ctrl-C."""
    words = ("--candidate", "bow-complement-nb", "--json", "--log", "own.log")
    with calibrating(tmp_path, *words) as run:
        assert run.stdout is not None
        lines = [json.loads(run.stdout.readline()) for _ in range(3)]
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=120)
    assert [line["kind"] for line in lines] == ["started", "finished", "started"], err
    assert lines[1]["candidate"] == "bow-complement-nb"
    assert {"total", "device", "phase", "seconds_per_1000"} <= lines[1].keys()
    last = json.loads(out.splitlines()[-1])
    counts = {name: last[name] for name in ("done", "present", "skipped", "failed", "reasons")}
    assert counts == {"done": 1, "present": 0, "skipped": 0, "failed": 0, "reasons": []}
    assert last["interrupted"]
    logged = [json.loads(line) for line in (tmp_path / "own.log").read_text().splitlines()]
    assert [{k: v for k, v in each.items() if k != "at"} for each in logged[1:4]] == lines
    assert {k: v for k, v in logged[-1].items() if k != "at"} == last
    assert not (tmp_path / "calibrations").exists()


def test_a_log_that_cannot_be_written_ends_before_measuring(tmp_path: Path) -> None:
    """The message names the file; nothing was measured."""
    (tmp_path / "taken").write_text("")
    with calibrating(tmp_path, "--candidate", "bow-*", "--log", "taken/run.log") as run:
        _, err = run.communicate(timeout=120)
    assert run.returncode == 2
    assert "taken/run.log" in err


def served(backend: str, precision: str, seconds: float, **more: Any) -> Event:
    """A finished trial in batches of 32."""
    return Event(
        kind="finished", candidate="a", workload="w", device="C", phase="inference",
        scenario="offline", batch_size=32, backend=backend, precision=precision,
        seconds_per_1000=seconds, **({"accuracy": 0.9} | more),
    )  # fmt: skip


def test_serving_choices_stand_beside_the_usual_one() -> None:
    """Ratios to the first choice; a format is dearer than fp32 on its own backend, or is not."""
    found = serving_comparisons(
        [
            served("torch", "fp32", 10.0),
            served("torch", "int8", 5.0, accuracy=0.88),
            served("onnxruntime", "fp32", 4.0),
            served("onnxruntime", "int8", 6.0),
            served("openvino", "fp32", 20.0),
            served("torch", "fp32", 1.0, variant="length-sorted"),
        ]
    )
    assert [(c.backend, c.precision, c.time_ratio) for c in found] == [
        ("torch", "int8", 0.5),
        ("onnxruntime", "fp32", 0.4),
        ("onnxruntime", "int8", 0.6),
        ("openvino", "fp32", 2.0),
    ]
    assert [c.warnings for c in found] == [(LOSES_ACCURACY,), (), (RAISES_ENERGY,), ()]
    assert [c.accuracy_difference for c in found] == pytest.approx([-0.02, 0, 0, 0])
    told = serving_sentence(found[0])
    assert "torch int8: 0.50 x the time of torch fp32, accuracy -2.0 points" in told
    assert LOSES_ACCURACY in told
    assert serving_comparisons([served("torch", "fp32", 1.0)]) == ()


def test_measured_joules_decide_before_seconds() -> None:
    """A format that is faster and needs more is dearer; modelled joules are not compared."""
    plain = served("torch", "fp32", 10.0, joules_per_1000=100.0, label="measured")
    dear = served("torch", "int8", 9.0, joules_per_1000=150.0, label="measured")
    (found,) = serving_comparisons([plain, dear])
    assert (found.energy_ratio, found.warnings) == (1.5, (RAISES_ENERGY,))
    modelled = served("torch", "int8", 9.0, joules_per_1000=150.0, label="modelled")
    (found,) = serving_comparisons([plain, modelled])
    assert (found.energy_ratio, found.warnings) == (None, ())


def test_a_plan_is_one_row_per_candidate_with_time_and_joules(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Workloads, precisions, batches and orders are gathered; joules are an upper figure."""

    def planned(**values: Any) -> Event:
        given = {"candidate": "bow-logistic", "workload": "sst2", "device": "CPU"}
        given |= {"phase": "inference", "scenario": "offline", "backend": "sklearn"}
        given |= {"kind": "waiting", "precision": "fp64", "batch_size": 32.0, "estimated_s": 10.0}
        return Event(**(given | values))

    steps = [
        planned(workload=workload, precision=precision, batch_size=batch, variant=variant, **more)
        for workload in ("sst2", "agnews")
        for precision, batch, variant, more in (
            ("fp32", 1.0, None, {"scenario": "single", "estimated_j": 4000.0}),
            ("fp32", 32.0, "arrival-order", {"estimated_j": 1000.0}),
            ("int8", 8.0, None, {"estimated_j": 1000.0}),
        )
    ]
    other = {"candidate": "tfidf-word-logistic"}
    summary.print_plan([*steps, planned(**other), planned(**other, kind="present")], "standard")
    out = capsys.readouterr().out
    lines = {cells[0]: cells for line in out.splitlines() if (cells := line.split("  "))}
    shown = [cell.strip() for cell in lines["bow-logistic"] if cell.strip()]
    assert shown == ["bow-logistic", "fp32 int8", "1 8", "32", "6", "60 s", "12.0 kJ"]
    assert "1 of 2" in out
    assert "workloads: sst2, agnews" in out
    assert out.splitlines()[-1].startswith("7 of 8 trials to measure, about 70 s; joules: ")
    assert "--tdp-w" in out.splitlines()[-1]
    assert summary.total_joules(steps) == 12_000
    assert summary.total_joules([*steps, planned()]) is None
    summary.print_plan(steps, "standard")
    assert "about 60 s, at most 12.0 kJ of the chip" in capsys.readouterr().out.splitlines()[-1]
    summary.print_plan([planned(kind="present")], "quick")
    assert "0 of 1 trials to measure: all is in the catalog" in capsys.readouterr().out
