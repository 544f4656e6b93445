"""Builds and checks the bundled reference figures in `catalog/reference`.

Reads the tables of published energy measurements (`../shared/data/energy` or ``--data``) and
writes reviewable CSV files whose headers are the fields of the records. ``--check`` rebuilds in
memory and fails with a diff where the committed files differ.

Left out on purpose, with the reason printed by every run: rows without an MIT, BSD or Apache
licence, and cain-2024 (energy of whole jobs whose number of texts nobody recorded).
"""

from __future__ import annotations

import argparse
import csv
import difflib
import io
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from catalog.bundled import from_cells  # noqa: E402
from catalog.records import KEY, Candidate, Device, Measurement, Workload  # noqa: E402

Row = dict[str, Any]
SAME: Row = {"phase": "inference"}
REFERENCE = ROOT / "catalog" / "reference"
DATA = ROOT.parent / "shared" / "data" / "energy"
J_PER_WH, J_PER_KWH = 3600.0, 3.6e6
PRINTED_WH = 0.01
"""Resolution of the energies Zschache & Hartwig print."""

PAPER = (
    "J. Zschache, T. Hartwig: Comparing energy consumption and accuracy in text classification "
    "inference. arXiv:2508.14170 v1, 2025"
)
ML_ENERGY = (
    "J.-W. Chung et al.: The ML.ENERGY Leaderboard, ml.energy/leaderboard; The ML.ENERGY "
    "Benchmark, arXiv:2505.06371; github.com/ml-energy/"
)
SHARED: dict[str, Row] = {
    "zschache-hartwig-2025": {
        "repeats": 10,
        "meter": "CodeCarbon: NVML GPUs, CPU, RAM at 0.375 W/GB",
        "citation": PAPER,
        "licence": "figures cited",
        "measured_at": "2025-08-19",
    },
    "luccioni-2024": {
        "host": "AWS p4de Xeon 8275CL",
        "scenario": "single",
        "precision": "fp32",
        "gpu_label": "measured",
        "flags": ("idle-devices-in-total",),
        "citation": "A. S. Luccioni, Y. Jernite, E. Strubell: Power Hungry Processing: Watts "
        "Driving the Cost of AI Deployment? FAccT 2024, arXiv:2311.16863; "
        "github.com/sashavor/co2_inference",
        "licence": "MIT",
        "measured_at": "2024-06-03",
    },
    "protran-2022": {
        "workload": "sst2-padded-128",
        "n_items": 1,
        "citation": "S. Tuli, N. K. Jha: EdgeTran: Co-designing Transformers for Efficient "
        "Inference on Mobile Edge Platforms. arXiv:2303.13745, 2023; github.com/JHA-Lab/protran",
        "licence": "BSD-3-Clause",
        "measured_at": "2023-03-24",
    },
    "mlperf-inference-power": {
        "n_items": 1,
        "wall_label": "measured",
        "meter": "SPEC PTDaemon wall meter",
        "licence": "Apache-2.0 (repository); MLPerf results usage policy",
    },
    "ml-energy-leaderboard": {"n_items": 1, "gpu_label": "measured", "meter": "Zeus: NVML"},
}
"""Fields that all rows of a file have in common."""
SETUP_COLUMNS = ("device", "host", "n_devices", "n_active_devices", "precision", "batch_size")
"""Columns of the source tables that mean what our fields of the same name mean."""

WORKLOADS = """\
name,task,dataset,language,n_classes,n_train,n_test,citation
rotten-tomatoes,sentiment,cornell-movie-review-data/rotten_tomatoes,en,2,8530,1066,Pang and Lee 2005
imdb,sentiment,stanfordnlp/imdb,en,2,25000,25000,Maas et al. 2011 (ACL)
fktg,topic,FKTG,de,14,189,189,PAPER
news-zh2025,topic,news as named by the paper,,,200,200,PAPER
yelp-zh2025,sentiment,yelp as named by the paper,,,200,200,PAPER
emotion-zh2025,emotion,emotion as named by the paper,,,200,200,PAPER
sst2-padded-128,inference-benchmark,SST-2 as sequences of 128 tokens; speed and energy only,en,2,,,
"""
FEATURES: dict[str, Row] = {
    "BoW": {"name": "bow", "family": "bag-of-words", "features": "bow"},
    "Tf-idf": {
        "name": "tfidf-char",
        "family": "tf-idf",
        "features": "tfidf-char",
        "notes": "2- and 3-grams of characters",
    },
    "Embedding": {
        "name": "mpnet-multilingual-frozen",
        "family": "frozen-encoder",
        "features": "frozen",
        "checkpoint": "sentence-transformers/paraphrase-multilingual-mpnet-base-v2",
    },
}
HEADS = {"Linear": "logistic", "XGBoost": "xgboost"}
CARDS = {
    "h100": (
        "NVIDIA H100-SXM5-94GB",
        "Capella node: 4 x H100 94 GB (700 W), 2 x 32-core AMD, 768 GB RAM",
    ),
    "a30": ("NVIDIA A30", "Paula node: 8 x A30 24 GB"),
    "v100": ("NVIDIA V100-PCIE-32GB", "Clara node: 4 x V100 32 GB"),
}
"""Column name of table B3 -> device and host."""


class Bundle:
    """What is going to be written, and what was left out and why."""

    def __init__(self, data: Path) -> None:
        self.data = data
        known = csv.DictReader(io.StringIO(WORKLOADS.replace("PAPER", f'"{PAPER}"')))
        self.workloads: dict[str, Row] = {row["name"]: row for row in known}
        self.candidates: dict[str, Row] = {}
        self.measurements: dict[str, list[Row]] = {stem: [] for stem in SHARED}
        self.dropped: list[str] = []

    def table(self, name: str) -> list[dict[str, str]]:
        """Rows of a source table, cells as printed."""
        with (self.data / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def candidate(self, name: str, family: str, **fields: Any) -> str:
        """Notes a candidate; raises where two models would share a name."""
        row = {"name": name, "family": family, **fields}
        if cells(self.candidates.setdefault(name, row)) != cells(row):
            raise ValueError(f"two candidates are called {name!r}")
        return name

    def workload(self, name: str, task: str, dataset: str) -> str:
        """Notes a workload that only trains the estimator."""
        self.workloads.setdefault(name, {"name": name, "task": task, "dataset": dataset})
        return name

    def add(self, file: str, **fields: Any) -> None:
        """Notes a measurement of `file`, whose stem is run id and source; lists become text."""
        for name in fields.keys() & {"notes"}:
            fields[name] = "; ".join(part for part in fields[name] if part)
        self.measurements[file].append(
            {**SAME, "run_id": file, "source": file, **SHARED[file], **fields}
        )


def cell(value: Any) -> str:
    """One CSV cell: missing is empty, floats keep at most seven significant digits."""
    if isinstance(value, tuple):
        return ";".join(value)
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float):
        rounded = float(f"{value:.7g}")
        return str(int(rounded)) if rounded.is_integer() else repr(rounded)
    return str(value)


def cells(row: Row) -> dict[str, str]:
    """A row as it will be written, without its empty cells."""
    return {name: text for name, value in row.items() if (text := cell(value))}


def slug(text: str) -> str:
    """Lower-case kebab name of a model path's last part."""
    return text.split("/")[-1].lower().replace("_", "-").replace(" ", "-")


def setup(row: Row) -> Row:
    """The fields a source row shares with ours."""
    return {name: row[name] for name in SETUP_COLUMNS}


def records(frame: pd.DataFrame, *order: str) -> list[Row]:
    """Rows of a frame in a fixed order."""
    ordered = frame.sort_values(list(order)).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in ordered]


def printed_energy(wh: str) -> Row:
    """Joules of a printed Wh figure with its rounding; ``<0.01`` is only an upper bound."""
    shared = {"total_scope": "gpu+cpu+ram", "total_label": "mixed"}
    if wh.startswith("<"):
        return {**shared, "total_high_j": float(wh[1:]) * J_PER_WH}
    value, half = float(wh), PRINTED_WH / 2
    bounds = {"total_low_j": (value - half) * J_PER_WH, "total_high_j": (value + half) * J_PER_WH}
    return {**shared, "total_j": value * J_PER_WH, **bounds}


def paper_candidate(bundle: Bundle, row: dict[str, str]) -> str:
    """Notes one model of table B1 under our name."""
    size = float(row["params_b"]) * 1e9 if row["params_b"] else None
    if row["kind"] == "traditional":
        printed, features = row["model"].split()
        fields = {**FEATURES[features], "head": HEADS[printed], "n_parameters": size}
        fields["name"] += f"-{HEADS[printed]}"
        return bundle.candidate(**fields)
    plain = row["model"].replace("DS ", "deepseek-r1-")
    for vendor in ("Llama", "Qwen", "Phi", "Jamba"):
        plain = plain.replace(f"{vendor} ", f"{vendor}-")
    family = "reasoning-llm" if row["kind"] == "reasoning" else "zero-shot-llm"
    return bundle.candidate(f"{slug(plain)}-zero-shot", family, n_parameters=size)


def paper(bundle: Bundle, card: str, wh: str, remark: str = "", **fields: Any) -> None:
    """Notes one printed figure of the paper."""
    device, host = CARDS[card]
    notes = ["inference only; idle not subtracted; sampled every 15 s", remark]
    if card == "v100":
        notes.append("the paper says V100 32 GB, the PCIe variant is assumed")
        fields["flags"] = ("device-variant-assumed",)
    more = printed_energy(wh) | fields
    bundle.add("zschache-hartwig-2025", device=device, host=host, notes=notes, **more)


def read_paper_fktg(bundle: Bundle) -> dict[str, str]:
    """Tables B1 (one node), B2 (two nodes) and B3 (other cards); the names of the models."""
    first = {row["model"]: row for row in bundle.table("table_B1_fktg_capella_single.csv")}
    names = {model: paper_candidate(bundle, row) for model, row in first.items()}
    fktg: Row = {"workload": "fktg", "n_items": 189}
    for model, row in first.items():
        run: Row = {
            "n_devices": int(row["gpus"]),
            "n_nodes": 1,
            "runtime_s": float(row["duration_s"]),
        }
        run |= {"accuracy": float(row["accuracy"]), "accuracy_split": "test", "n_test": 189}
        run |= {"remark": f"printed mean power {row['avg_power_w']} W", "reference": "table B1"}
        paper(bundle, "h100", row["energy_wh"], candidate=names[model], **fktg, **run)
    same = "printed twice, equal to table B1"
    for row in bundle.table("table_B2_single_vs_double_capella.csv"):
        run = {"n_nodes": 2, "runtime_s": float(row["duration_double_s"]), "reference": "table B2"}
        wh = row["energy_double_wh"]
        paper(bundle, "h100", wh, candidate=names[row["model"]], **fktg, **run)
        bundle.dropped.append(f"zschache-hartwig-2025, table B2, {row['model']}, one node: {same}")
    for row in bundle.table("table_B3_gpu_cards_single_node.csv"):
        known = first[row["model"]]
        for card in CARDS:
            wh, seconds = row[f"wh_{card}"], row[f"dur_{card}_s"]
            if card == "h100" and (wh, seconds) == (known["energy_wh"], known["duration_s"]):
                text = f"zschache-hartwig-2025, table B3, {row['model']} on H100: {same}"
                bundle.dropped.append(text)
                continue
            run = {"n_nodes": 1, "runtime_s": float(seconds), "reference": "table B3"}
            run |= {"repeat_group": "table-B3"} if card == "h100" else {}
            run |= {"remark": "number of GPUs not printed", "candidate": names[row["model"]]}
            paper(bundle, card, wh, **fktg, **run)
    return names


def read_paper_others(bundle: Bundle, names: dict[str, str]) -> None:
    """Tables B4 and B5: 200 texts of four other data sets, no durations printed."""
    for row in bundle.table("tables_B4_B5_other_datasets_capella.csv"):
        for dataset in ("news", "yelp", "tomatoes", "emotion"):
            workload = "rotten-tomatoes" if dataset == "tomatoes" else f"{dataset}-zh2025"
            run: Row = {"workload": workload, "candidate": names[row["model"]], "n_items": 200}
            run |= {"accuracy": float(row[f"{dataset}_acc"]), "n_test": 200}
            if run["accuracy"] < PRINTED_WH * 2:
                run["remark"] = "such an accuracy is most likely a failure of the output format"
                run["flags"] = ("accuracy-suspect",)
            run |= {"accuracy_split": "test", "reference": f"tables B4 and B5, {dataset}"}
            paper(bundle, "h100", row[f"{dataset}_wh"], **run)


LUCCIONI_TASKS = {"extractive-qa": "question-answering", "qa": "question-answering"}
LUCCIONI_DATASETS = {"squad2": "squadv2", "tomatoes": "rotten-tomatoes"}
N_TEST = {"sst2": (872, "dev"), "imdb": (25000, "test"), "rotten-tomatoes": (1066, None)}
SST_MODEL = "distilbert-base-uncased-finetuned-sst-2-english"
ORGANISATION_IN_NAME = ("siebert/", "sbcBI/")
"""Owners of models whose own name says too little."""


def contamination(candidate: str, workload: str) -> str | None:
    """Why an accuracy of Luccioni et al. may be too good."""
    for stem, shown in (("flan-t5", "FLAN-T5"), ("bloomz", "BLOOMZ")):
        if candidate.startswith(stem):
            return f"possible-contamination: {shown} saw such data sets in instruction tuning"
    if workload == "rotten-tomatoes" and candidate == SST_MODEL:
        return "possible-contamination: Rotten Tomatoes shares sentences with SST, its training set"
    return None


def luccioni_accuracy(bundle: Bundle, candidate: str, workload: str, value: float) -> Row:
    """The accuracy fields of one text classification row."""
    if value != value:  # NaN: not published
        return {}
    if (candidate, workload) == (SST_MODEL, "sst2"):
        why = f"published accuracy {value:.5f} left out: 66,578/67,349, the training split"
        bundle.dropped.append(f"luccioni-2024, {candidate} on sst2: {why}; energy kept")
        return {"notes": [why]}
    prompted = candidate.endswith("-zero-shot")
    n_test, split = (None, None) if prompted else N_TEST[workload]
    why_doubted = contamination(candidate, workload)
    fields: Row = {"accuracy": value, "n_test": n_test, "accuracy_split": split}
    return {**fields, "contamination": why_doubted}


def luccioni_names(bundle: Bundle, row: Row) -> tuple[str, str]:
    """Candidate and workload of one aggregated row."""
    kind, _, dataset = row["task"].partition(":")
    task, _, prompted = kind.partition("(zero-shot")
    classifies = task == "text-classification"
    model = row["model"]
    name = slug(model.replace("/", "-") if model.startswith(ORGANISATION_IN_NAME) else model)
    family = "zero-shot-llm" if prompted else "fine-tuned-encoder" if classifies else "other"
    name += "-zero-shot" if prompted else ""
    bundle.candidate(name, family, checkpoint=model, n_parameters=row["model_params"])
    dataset = LUCCIONI_DATASETS.get(dataset, dataset)
    if classifies:
        return name, dataset
    task = LUCCIONI_TASKS.get(task, task)
    return name, bundle.workload(f"luccioni-{task}-{dataset}", task, dataset)


def averaged(rows: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Repeats as one row: mean energy and time, their count, the rest as it stands first."""
    energy, seconds = rows["energy_j_per_inference"], rows["runtime_s_per_inference"]
    groups = [rows[key] for key in keys]
    first = rows.groupby(list(keys)).first().reset_index()
    mean, deviation = energy.groupby(groups).mean(), energy.groupby(groups).std()
    return first.assign(
        joules=mean.to_numpy(),
        seconds=seconds.groupby(groups).mean().to_numpy(),
        repeats=energy.groupby(groups).size().to_numpy(),
        cv=(deviation / mean).round(5).to_numpy(),
    )


def read_luccioni(bundle: Bundle, rows: pd.DataFrame) -> None:
    """Ten repeats of every model and data set as one row; CPU and RAM only where published."""
    split = bundle.table("luccioni_textclass_query_energy.csv")
    parts = {(row["project_name"], row["dataset"]): row for row in split}
    for row in records(averaged(rows, "task", "model"), "task", "model"):
        candidate, workload = luccioni_names(bundle, row)
        kind, _, dataset = row["task"].partition(":")
        items = row["n_inferences"]
        energy: Row = {"meter": "CodeCarbon: NVML, sum of 8 GPUs"}
        if kind.startswith("text-classification"):
            part = parts[row["model"], dataset]
            energy |= {"cpu_j": float(part["cpu"]) * J_PER_KWH, "cpu_label": "modelled"}
            energy |= {"dram_j": float(part["ram"]) * J_PER_KWH, "dram_label": "modelled"}
            energy["meter"] += "; CPU 42.5 W and RAM 430 W assumed"
        bundle.add(
            "luccioni-2024",
            workload=workload,
            candidate=candidate,
            n_items=items,
            runtime_s=row["seconds"] * items,
            gpu_j=row["joules"] * items,
            tokens_mean=row["seq_len_or_tokens"],
            reference=f"data/emissions, task {row['task']}, commit {row['commit'][:7]}",
            **{name: row[name] for name in ("repeats", "cv")},
            **{**setup(row), **SHARED["luccioni-2024"], **energy},
            **luccioni_accuracy(bundle, candidate, workload, row["accuracy"]),
        )


def read_protran(bundle: Bundle, rows: pd.DataFrame) -> None:
    """One row per FlexiBERT, device and batch size; the window holds start-up and loading."""
    keys = ("device", "model", "precision", "batch_size", "n_devices")
    for row in records(averaged(rows, *keys), *keys):
        size, about = row["model_params"], "parameters approximate, from the architecture"
        name = bundle.candidate(
            slug(row["model"]), "fine-tuned-encoder", n_parameters=size, notes=about
        )
        scope, assumed = row["energy_scope"], "SXM4-40GB assumed" in row["notes"]
        part = scope if scope in ("gpu", "npu") else "total"
        energy = {f"{part}_j": row["joules"], f"{part}_label": "measured"}
        bundle.add(
            "protran-2022",
            candidate=name,
            scenario="single" if row["batch_size"] == 1 else "offline",
            runtime_s=row["seconds"],
            total_scope=scope if part == "total" else None,
            tokens_mean=row["seq_len_or_tokens"],
            repeats=row["repeats"] if row["repeats"] > 1 else None,
            flags=("startup-in-window", *(("device-variant-assumed",) if assumed else ())),
            meter=row["method"],
            reference=f"{row['source_file'].split('/')[2]}, commit {row['commit'][:7]}",
            notes=[
                "window is the whole process with imports and model load, per sequence",
                "SXM4-40GB assumed from its peak power" if assumed else "",
            ],
            **setup(row),
            **energy,
        )


ROUNDS = {"v2.0": "2022-04-06", "v2.1": "2022-09-08", "v3.0": "2023-04-05"}
ROUNDS |= {"v3.1": "2023-09-11", "v4.0": "2024-03-27"}
"""Publication dates of the MLPerf Inference rounds."""
SCENARIOS = {"Offline": "offline", "Server": "server", "SingleStream": "single"}
MLPERF_TASKS = {
    "extractive-qa:squad v1.1 (MLPerf BERT)": ("mlperf-squad", "question-answering", "SQuAD v1.1"),
    "summarization/LLM (MLPerf)": ("mlperf-cnn-dailymail", "summarization", "CNN/DailyMail"),
}


def read_mlperf(bundle: Bundle, rows: pd.DataFrame) -> None:
    """Certified wall energy per query; the F1 of question answering is no accuracy."""
    seen: set[tuple[Any, ...]] = set()
    for row in records(rows, "source", "source_file"):
        number, path = row["source"].rstrip(")").split()[-1], row["source_file"].split(" :: ")[1]
        kind, software = row["notes"].split("; ")[0].split(", ", 3)[0::3]
        division, submitter, _, system, *_ = path.split("/")
        joules, seconds = row["energy_j_per_inference"], row["runtime_s_per_inference"]
        content = (system, row["model"], kind, joules, seconds)
        if content in seen:
            bundle.dropped.append(f"mlperf {number}, {path}: also in an earlier round")
            continue
        seen.add(content)
        f1, single = row["accuracy"], kind == "SingleStream"
        size = row["model_params"]
        bundle.add(
            "mlperf-inference-power",
            workload=bundle.workload(*MLPERF_TASKS[row["task"]]),
            candidate=bundle.candidate(slug(row["model"]), "other", n_parameters=size),
            scenario=SCENARIOS[kind],
            repeat_group=f"{number} {division}/{submitter}/{system}",
            runtime_s=seconds,
            wall_j=joules,
            flags=("runtime-is-p90",) if single else (),
            citation=f"MLCommons: MLPerf Inference {number} results with power; "
            "github.com/mlcommons/cm4mlperf-results",
            reference=f"{path}, commit {row['commit'][:7]}",
            measured_at=ROUNDS[number],
            notes=[
                software,
                f"F1 {f1:.4f}, not an accuracy" if f1 == f1 else "",
                "runtime_s is the 90th percentile of latency" if single else "",
            ],
            **setup(row),
        )


ML_ENERGY_TASKS = {
    "code": "code-generation",
    "sourcegraph-fim": "code-generation",
    "gpqa": "question-answering",
    "instruct": "instruction-following",
    "instruct-concise": "instruction-following",
}


def ml_energy_origin(row: Row) -> Row:
    """Where and when a leaderboard row was published, and how it was served."""
    flags = ("llm", "output-tokens-only")
    newest = "dated to the release of the newest model in it, the earliest possible day"
    second = {"citation": f"{ML_ENERGY}leaderboard-v2", "licence": "Apache-2.0", "flags": flags}
    if "(v3)" in row["source"]:
        licence = "Apache-2.0 (as published in ml-energy/data; the repository states none)"
        third = {"citation": f"{ML_ENERGY}leaderboard", "licence": licence, "flags": flags}
        return {**third, "measured_at": "2025-12-01", "notes": ["dated to the month"]}
    if "2023 leaderboard" in row["notes"]:
        notes = ["batch 1, Hugging Face generation; SXM variant assumed; dated to summer 2023"]
        second |= {"flags": (*flags, "device-variant-assumed"), "scenario": "single"}
        return {**second, "measured_at": "2023-07-01", "notes": notes}
    return {**second, "measured_at": "2024-07-24", "notes": [newest]}


def read_ml_energy(bundle: Bundle, rows: pd.DataFrame) -> None:
    """GPU energy per request of served language models; batch size is the mean concurrency."""
    for row in records(rows, "source", "source_file", "model", "device", "batch_size"):
        dataset, total = row["task"].removeprefix("llm:"), row["model_params"]
        _, _, stated = row["notes"].partition("activated params ")
        active = float(stated.rstrip("B")) * 1e9 if stated else total
        name = bundle.candidate(
            slug(row["model"]),
            "other",
            checkpoint=row["model"],
            n_parameters=total,
            n_active_parameters=active if active < total else None,
        )
        task = ML_ENERGY_TASKS.get(dataset, "chat")
        bundle.add(
            "ml-energy-leaderboard",
            workload=bundle.workload(f"ml-energy-{dataset}", task, dataset),
            candidate=name,
            runtime_s=row["runtime_s_per_inference"],
            gpu_j=row["energy_j_per_inference"],
            tokens_mean=row["seq_len_or_tokens"],
            reference=f"{row['source_file']}, commit {row['commit'][:7]}",
            **setup(row),
            **ml_energy_origin(row),
        )


READERS = {
    "sashavor/co2_inference": read_luccioni,
    "JHA-Lab/protran": read_protran,
    "mlcommons/": read_mlperf,
    "ml-energy/": read_ml_energy,
}
"""Start of the column `source` -> who reads such rows."""


def build(data: Path) -> Bundle:
    """Everything the folder `data` gives, as rows of records."""
    bundle = Bundle(data)
    read_paper_others(bundle, read_paper_fktg(bundle))
    rows = pd.read_csv(data / "measured_energy.csv.gz", low_memory=False)
    is_open = rows["licence"].fillna("").str.contains("MIT|BSD|Apache")
    for (source, licence), group in rows[~is_open].groupby(["source", "licence"], dropna=False):
        bundle.dropped.append(f"{source!s}: {len(group)} rows, licence {licence!r}")
    rows = rows[is_open]
    for prefix, reader in READERS.items():
        here = rows["source"].str.startswith(prefix)
        reader(bundle, rows[here])
        rows = rows[~here]
    for source, group in rows.groupby("source"):
        bundle.dropped.append(f"{source!s}: {len(group)} totals of jobs, number of texts unknown")
    return bundle


def to_csv(kind: type[Any], rows: Iterable[Row]) -> str:
    """Rows as CSV text with the used columns in record order; every row must convert."""
    texts = [cells(row) for row in rows]
    list(from_cells(kind, texts))
    fields = [field.name for field in msgspec.structs.fields(kind)]
    unknown = {name for row in texts for name in row} - set(fields)
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    used = [name for name in fields if any(name in row for row in texts)]
    out = io.StringIO()
    writer = csv.DictWriter(out, used, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(texts)
    return out.getvalue()


def unique(rows: list[Row]) -> list[Row]:
    """The same rows, refused where two share a key."""
    keys = Counter(tuple(cells(row).get(name, "") for name in KEY) for row in rows)
    twice = [key for key, count in keys.items() if count > 1]
    if twice:
        raise ValueError(f"rows with equal keys: {twice[:5]}")
    return rows


def bundled_files(bundle: Bundle) -> dict[str, str]:
    """Path below `catalog/reference` -> text of every bundled file."""
    ours = {"device": "name", "memory_bandwidth_gbs": "bandwidth_gbs"}
    chips = [{ours.get(k, k): v for k, v in row.items()} for row in bundle.table("devices.csv")]
    texts = {
        "devices.csv": to_csv(Device, chips),
        "workloads.csv": to_csv(Workload, [row for _, row in sorted(bundle.workloads.items())]),
        "candidates.csv": to_csv(Candidate, [row for _, row in sorted(bundle.candidates.items())]),
    }
    for stem, rows in bundle.measurements.items():
        texts[f"measurements/{stem}.csv"] = to_csv(Measurement, unique(rows))
    return texts


def differences(texts: dict[str, str]) -> list[str]:
    """What the committed files say differently: the first lines of a diff per file."""
    there = {path.relative_to(REFERENCE).as_posix() for path in REFERENCE.rglob("*.csv")}
    found = []
    for name in sorted(there | texts.keys()):
        old = (REFERENCE / name).read_bytes().decode() if name in there else ""
        new = texts.get(name, "")
        if old != new:
            names, left, right = (f"committed/{name}", f"rebuilt/{name}"), *map(_lines, (old, new))
            diff = list(difflib.unified_diff(left, right, *names, n=0, lineterm=""))
            found += diff[:40]
            found += [f"... {len(diff) - 40} more lines of {name}"] if len(diff) > 40 else []
    return found


def _lines(text: str) -> list[str]:
    """Lines of a text, other line ends made visible."""
    return text.replace("\r", "\\r").split("\n")


def main(arguments: list[str] | None = None) -> int:
    """Builds or checks; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build or check catalog/reference.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the source tables")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    given = parser.parse_args(arguments)
    if not given.data.is_dir():
        print(f"no data folder {given.data}: the committed files stay, nothing was compared")
        return 0 if given.check else 2
    bundle = build(given.data)
    texts = bundled_files(bundle)
    print(*(f"left out: {line}" for line in bundle.dropped), sep="\n")
    print(*(f"{name}: {text.count(chr(10)) - 1} rows" for name, text in texts.items()), sep="\n")
    if given.check:
        found = differences(texts)
        print(*(found or ["the committed files are up to date"]), sep="\n")
        return 1 if found else 0
    for name, text in texts.items():
        (REFERENCE / name).parent.mkdir(parents=True, exist_ok=True)
        (REFERENCE / name).write_bytes(text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
