"""Tests of `run_file`: tables in and out lose nothing, and broken ones are told apart."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog import reference_data as bundled
from catalog.energy import SCOPE_OF_SOURCE
from catalog.errors import BadRunFileError
from catalog.files.run_file import Format, dump, format_of, parse, read, to_frame
from catalog.files.validation import Known
from catalog.records import COMPONENTS, Candidate, Device, Measurement

KNOWN = Known(
    device=bundled.devices(), workload=bundled.workloads(), candidate=bundled.candidates()
)
HEADER = "run_id,source,workload,candidate,device,n_items,runtime_s,gpu_j,gpu_label"
ROW = "r1,me,sst2,tfidf-word-logistic,NVIDIA A30,100,1,50,measured"
FORMS: tuple[Format, ...] = ("csv", "parquet")


def examples(few: int, many: int) -> int:
    """How many examples of a test are tried: few, or many by the profile `nightly`."""
    return many if settings.get_current_profile_name() == "nightly" else few


words = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\0"),
    min_size=1,
    max_size=20,
).filter(lambda text: not text.startswith(("=", "+", "-", "@")))
texts = st.one_of(words, st.sampled_from(["NA", "nan", "None", "a,b", 'say "x"', "two\nlines"]))

numbers = st.floats(1e-6, 1e12)
labels = st.sampled_from(["measured", "modelled", "mixed"])


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    """A measurement a run file may hold; without a runtime no power is judged."""
    cells: dict[str, Any] = {}

    def maybe(name: str, values: st.SearchStrategy[Any]) -> None:
        value = draw(st.none() | values)
        if value is not None:
            cells[name] = value

    for name in ("host", "repeat_group", "precision", "fingerprint", "meter", "notes", "citation"):
        maybe(name, texts)
    for name in ("n_devices", "n_nodes", "repeats", "n_test"):
        maybe(name, st.integers(1, 10**6))
    for name in ("idle_w", "tokens_mean", "latency_p95_ms", "n_parameters", "peak_memory_mb"):
        maybe(name, numbers)
    for name in ("accuracy", "macro_f1"):
        maybe(name, st.floats(0, 1))
    maybe("batch_size", st.floats(1, 1e6))
    maybe("measured_at", st.dates().map(str))
    maybe("scenario", st.sampled_from(["single", "offline", "server", "unstated"]))
    slugs = st.sampled_from(["llm", "unstable", "suspect"])
    flags = draw(st.lists(slugs, max_size=2, unique=True))
    for name in COMPONENTS:
        if draw(st.booleans()):
            cells |= {f"{name}_j": draw(st.floats(1e-9, 1.0)), f"{name}_label": draw(labels)}
    if draw(st.booleans()):
        low, value, high = sorted(draw(st.tuples(*[st.floats(1e-9, 1.0)] * 3)))
        cells |= {"total_low_j": low, "total_j": value, "total_high_j": high}
        cells |= {
            "total_label": draw(labels),
            "total_scope": draw(st.sampled_from(list(SCOPE_OF_SOURCE))),
        }
    return Measurement(
        run_id=draw(texts),
        source=draw(texts),
        workload="sst2",
        candidate="bow-logistic",
        device="NVIDIA A30",
        n_items=draw(numbers),
        flags=tuple(flags),
        **cells,
    )


@pytest.mark.parametrize("form", FORMS)
@settings(
    max_examples=examples(12, 500), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(rows=st.lists(measurements(), min_size=1, max_size=4, unique_by=lambda row: row.run_id))
def test_a_round_trip_loses_nothing(form: Format, rows: list[Measurement]) -> None:
    """What is written as CSV or Parquet is read back as the same records, gaps included."""
    assert parse(dump(to_frame(rows), form), form, KNOWN).measurements == tuple(rows)


@pytest.mark.parametrize("form", FORMS)
def test_a_described_device_travels_with_its_rows(form: Format) -> None:
    """An export with descriptions can be read by a catalog that lacks the device."""
    device = Device(
        name="Board 9", kind="soc", tdp_w=15.0, cores=6, year=2024, aliases=("b9", "B-9")
    )
    row = Measurement(
        run_id="r",
        source="s",
        workload="sst2",
        candidate="bow-logistic",
        device="Board 9",
        n_items=5.0,
        runtime_s=1.0,
        board_j=9.0,
        board_label="measured",
    )
    content = dump(to_frame([row], {"device": {"Board 9": device}}), form)
    run = parse(content, form, KNOWN)
    assert (run.measurements, run.devices) == ((row,), (device,))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("runnable", [True, False])
def test_a_described_candidate_travels_with_its_rows(form: Format, runnable: bool) -> None:
    """Truth values and lists of a description survive, and so do small and large figures."""
    candidate = Candidate(
        name="mine",
        family="other",
        n_parameters=7e10,
        languages=("de", "en"),
        runnable=runnable,
    )
    row = Measurement(
        run_id="r", source="s", workload="sst2", candidate="mine", device="NVIDIA A30", n_items=5.0
    )
    content = dump(to_frame([row], {"candidate": {"mine": candidate}}), form)
    assert parse(content, form, KNOWN).candidates == (candidate,)


CSV_FAULTS = {
    "no bytes": b"",
    "blank lines": b"\n\n\n",
    "header only": f"{HEADER}\n".encode(),
    "not UTF-8": f"{HEADER}\n".encode() + b"\xff\xfe\n",
    "10,000 columns": ",".join(f"c{i}" for i in range(10_000)).encode() + b"\n" + b"1," * 9_999,
    "one long row": f"{HEADER}\n{ROW}\n{ROW},more\n".encode(),
    "every row long": f"{HEADER}\nmore,{ROW}\nmore,{ROW}\n".encode(),
    "a short row": f"{HEADER}\n{ROW}\nr2,me,sst2\n".encode(),
    "an open quote": f'{HEADER}\n"{ROW}'.encode(),
    "a column twice": f"run_id,{HEADER}\nr1,{ROW}\n".encode(),
    "a NUL": f"{HEADER}\n{ROW.replace('r1', 'r' + chr(0))}\n".encode(),
}


@pytest.mark.parametrize("fault", CSV_FAULTS)
def test_a_broken_csv_is_a_bad_run_file(fault: str) -> None:
    """Whatever is wrong with a CSV file, the answer is one error of one kind with the name."""
    with pytest.raises(BadRunFileError, match=r"broken\.csv") as caught:
        parse(CSV_FAULTS[fault], "csv", KNOWN, "broken.csv")
    assert caught.value.problems


def parquet(table: pa.Table) -> bytes:
    """The bytes of a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def one_row(**columns: Any) -> pa.Table:
    """A table of one sound row with some columns exchanged."""
    cells = dict(zip(HEADER.split(","), ROW.split(","), strict=True))
    numeric = {"n_items", "runtime_s", "gpu_j"}
    plain = {k: pa.array([float(v) if k in numeric else v]) for k, v in cells.items()}
    return pa.table(plain | columns)


SOUND = parquet(one_row())
PARQUET_FAULTS = {
    "no bytes": b"",
    "magic only": b"PAR1",
    "no footer": SOUND[:200],
    "end missing": SOUND[:-20],
    "zeros": b"PAR1" + bytes(100) + b"PAR1",
    "a CSV": f"{HEADER}\n{ROW}\n".encode(),
    "no columns": parquet(pa.table({})),
    "10,000 columns": parquet(pa.table({f"c{i}": [1] for i in range(10_000)})),
    "lists": parquet(one_row(gpu_j=pa.array([[1.0, 2.0]]))),
    "listed names": parquet(one_row(device=pa.array([["NVIDIA A30"]]))),
    "listed flags": parquet(one_row(flags=pa.array([["a", "b"]]))),
    "structs": parquet(one_row(device=pa.array([{"name": "NVIDIA A30"}]))),
    "bytes": parquet(one_row(run_id=pa.array([b"\xff"]))),
    "truth values": parquet(one_row(gpu_j=pa.array([True]))),
    "times": parquet(one_row(runtime_s=pa.array([pd.Timestamp("2025-01-01")]))),
    "infinity": parquet(one_row(gpu_j=pa.array([float("inf")]))),
    "NaN": parquet(one_row(gpu_j=pa.array([float("nan")]))),
    "a NUL": parquet(one_row(run_id=pa.array(["r\0"]))),
    "a column twice": parquet(
        pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["device", "device"])
    ),
}


@pytest.mark.parametrize("fault", PARQUET_FAULTS)
def test_a_broken_parquet_file_is_a_bad_run_file(fault: str) -> None:
    """Whatever is wrong with a Parquet file, the answer is one error of one kind."""
    with pytest.raises(BadRunFileError, match=r"broken\.parquet") as caught:
        parse(PARQUET_FAULTS[fault], "parquet", KNOWN, "broken.parquet")
    assert caught.value.problems


WHOLE: dict[Format, bytes] = {"csv": f"{HEADER}\n{ROW}\n".encode(), "parquet": SOUND}
pieces = st.one_of(
    st.binary(max_size=3),
    st.sampled_from(
        [b",", b'"', b"\n", b"\r", b"\0", b";", b"=", b"nan", b"-1", b"1e309", b"PAR1"]
    ),
    st.sampled_from(HEADER.split(",")).map(str.encode),
)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=examples(30, 10_000), deadline=None)
@given(data=st.data())
def test_damage_never_escapes_as_another_error(form: Format, data: st.DataObject) -> None:
    """Bytes lost, changed or put in anywhere: a sound table or a bad run file, nothing else."""
    damaged = WHOLE[form]
    for _ in range(data.draw(st.integers(1, 3), "damages")):
        place = data.draw(st.integers(0, len(damaged)), "place")
        lost = data.draw(st.integers(0, 3), "lost")
        damaged = damaged[:place] + data.draw(pieces, "piece") + damaged[place + lost :]
    try:
        found = parse(damaged, form, KNOWN).measurements
    except BadRunFileError:
        return
    assert parse(dump(to_frame(found), form), form, KNOWN).measurements == found


def test_foreign_pandas_metadata_is_not_trusted() -> None:
    """Metadata another program wrote (an index, garbage) neither hides columns nor breaks."""
    frame = pd.read_csv(io.StringIO(f"{HEADER}\n{ROW}\n")).set_index("run_id")
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    assert parse(buffer.getvalue(), "parquet", KNOWN).measurements[0].run_id == "r1"
    odd = one_row().replace_schema_metadata({b"pandas": b'{"columns": [{"name": "0"}]}'})
    assert len(parse(parquet(odd), "parquet", KNOWN).measurements) == 1


@pytest.mark.parametrize(
    ("name", "form"), [("a.csv", "csv"), ("A.CSV", "csv"), ("b.parquet", "parquet"), ("b.pq", "")]
)
def test_the_ending_names_the_format(name: str, form: str) -> None:
    """CSV and Parquet are told apart by the file name."""
    assert format_of(name) == (form or "parquet")


@pytest.mark.parametrize("name", ["run", "run.xlsx", "run.csv.gz"])
def test_another_ending_is_refused(name: str) -> None:
    """An unknown ending is told before anything is read."""
    with pytest.raises(BadRunFileError, match=r"\.csv or \.parquet"):
        format_of(name)


def test_a_missing_file_is_a_bad_run_file(tmp_path: Path) -> None:
    """A path that is not there names itself and the reason."""
    with pytest.raises(BadRunFileError, match="No such file"):
        read(tmp_path / "none.csv", KNOWN)
