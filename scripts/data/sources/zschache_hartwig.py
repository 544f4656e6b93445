"""Zschache & Hartwig, arXiv:2508.14170: the tables the paper prints."""

from __future__ import annotations

from typing import Any

from sources.bundle import J_PER_WH, Bundle, Row, slug

PRINTED_WH = 0.01
"""Resolution of the energies Zschache & Hartwig print."""
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
