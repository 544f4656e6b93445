"""Luccioni et al., FAccT 2024: energy of zero-shot and fine-tuned models on one host."""

from __future__ import annotations

import pandas as pd

from sources.bundle import J_PER_KWH, SHARED, Bundle, Row, averaged, records, setup, slug

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
