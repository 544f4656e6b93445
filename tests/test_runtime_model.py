"""The runtime model: what is learned across devices, what holds by construction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.estimator import hardware, intervals, runtime
from advisor.estimator.backends import backend_class, numeric_format
from advisor.estimator.profiles import publisher
from advisor.estimator.table import Table
from advisor.evaluation import device_tables
from advisor.evaluation.runtime_rows import profiles_of as profiles

RATES = {"gpu a": 20.0, "gpu b": 60.0, "gpu c": 120.0, "gpu d": 300.0, "gpu e": 900.0, "cpu": 2.0}
"""fp16 peak of the devices of a made-up world, 1e12 FLOP/s."""


def machines(tmp_path: Path) -> Table:
    """A table of made-up devices, completed."""
    rows = [
        {
            "device": name,
            "kind": name[:3],
            "tdp_w": 100.0 if name[:3] == "gpu" else 65.0,
            "peak_fp32_tflops": rate / 4 if name[:3] == "gpu" else rate,
            "peak_fp16_tflops": rate if name[:3] == "gpu" else None,
            "memory_bandwidth_gbs": 10 * rate,
            "cores": 8 if name == "cpu" else None,
        }
        for name, rate in RATES.items()
    ]
    path = tmp_path / "devices.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return device_tables.completed(device_tables.read([path]))


def table(seed: int = 0, n: int = 600) -> pd.DataFrame:
    """Runtimes at a share of peak that the backend alone decides, with 5 % of noise."""
    random = np.random.default_rng(seed)
    names, shares = list(RATES), {"PyTorch": 0.1, "TensorRT": 0.4, "ONNX Runtime": 0.2}
    rows = []
    for _ in range(n):
        device, framework = random.choice(names), random.choice(list(shares))
        layers, hidden = [(6, 384), (12, 768), (24, 1024)][random.integers(3)]
        batch, tokens = int(random.choice([32, 64, 128])), int(random.choice([64, 128, 256]))
        flops = 24 * layers * hidden**2 * tokens + 4 * layers * hidden * tokens**2
        peak = RATES[device] * 1e12
        seconds = flops / (shares[framework] * peak) * np.exp(random.normal(0, 0.05))
        rows.append(
            {
                "source": f"team{random.integers(4)}-table",
                "model": "m",
                "model_family": "bert",
                "n_layers": layers,
                "hidden": hidden,
                "precision": "fp16",
                "framework": framework,
                "scenario": "batch",
                "batch_size": batch,
                "seq_len": tokens,
                "seq_len_basis": "padded",
                "device": device,
                "n_devices": 1,
                "runtime_s_per_item": seconds,
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, pd.DataFrame]:
    """Devices and runtimes."""
    return machines(tmp_path_factory.mktemp("world")), table()


def test_an_unseen_device_is_predicted_from_its_peak(
    world: tuple[Table, pd.DataFrame],
) -> None:
    """Without any row of a device its runtimes come out within a few percent in this world."""
    specs, rows = world
    known = rows["device"] != "gpu c"
    profile, log = profiles(rows, specs), np.log(rows["runtime_s_per_item"].to_numpy())
    model = runtime.fit(profile[known], log[known])
    error = np.abs(model.predict(profile[~known]) - log[~known])
    assert np.median(error) < 0.15


def test_backends_differ_as_measured(world: tuple[Table, pd.DataFrame]) -> None:
    """TensorRT comes out about four times as fast as eager PyTorch, as it was measured."""
    specs, rows = world
    profile, log = profiles(rows, specs), np.log(rows["runtime_s_per_item"].to_numpy())
    model = runtime.fit(profile, log)
    one = rows.iloc[[0]].assign(device="gpu b", batch_size=64, seq_len=128)
    eager, tuned = (
        model.predict(profiles(one.assign(framework=name), specs))[0]
        for name in ("PyTorch", "TensorRT")
    )
    assert 3 < np.exp(eager - tuned) < 5


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 512),
    tokens=st.integers(1, 4096),
    device=st.sampled_from(sorted(RATES)),
    framework=st.sampled_from(["PyTorch", "TensorRT", "unheard of", ""]),
)
def test_never_above_peak(
    world: tuple[Table, pd.DataFrame], batch: int, tokens: int, device: str, framework: str
) -> None:
    """Whatever is asked, at most the allowed share of peak is reached, within the interval too."""
    specs, rows = world
    model = runtime.fit(profiles(rows[:200], specs), np.log(rows["runtime_s_per_item"][:200]))
    one = rows.iloc[[0]].assign(
        device=device, batch_size=batch, seq_len=tokens, framework=framework
    )
    profile = profiles(one, specs)
    found = model.predict(profile)
    low, high = runtime.bounded_interval(found, np.array([5.0]), profile)
    share = profile["compute_s"].to_numpy() / np.exp(low)
    assert share[0] <= runtime.MOST_SHARE * (1 + 1e-9)
    assert low[0] <= found[0] <= high[0]


def test_same_rows_same_model(world: tuple[Table, pd.DataFrame]) -> None:
    """Fitting twice gives the same numbers and the same trees, to the byte."""
    specs, rows = world
    profile, log = profiles(rows, specs), np.log(rows["runtime_s_per_item"].to_numpy())
    one, two = runtime.fit(profile, log), runtime.fit(profile, log)
    assert one.ridge == two.ridge
    assert one.trees == two.trees


def test_the_device_table_is_completed(tmp_path: Path) -> None:
    """An SoC's CPU and iGPU add up; a CPU's peak is cores x clock x operations; flags are set."""
    path = tmp_path / "d.csv"
    path.write_text(
        "device,kind,cores,base_ghz,isa,tdp_w,peak_fp32_tflops,memory_bandwidth_gbs\n"
        "Chip,cpu,4,2.0,AVX2,15,,50\n"
        "Chip (iGPU),gpu,,,,15,0.5,50\n"
        "Chip (CPU+iGPU),soc,,,,15,,\n"
        "Riddle,npu,,,,,,\n"
    )
    found = pd.DataFrame(device_tables.completed(device_tables.read([path]))).set_index("device")
    cpu = 4 * 2.0 * hardware.FLOPS_PER_CYCLE * 1e9
    assert found.at["Chip", "fp32"] == pytest.approx(cpu)
    assert found.at["Chip (CPU+iGPU)", "fp32"] == pytest.approx(cpu + 0.5e12)
    assert found["peak_imputed"].tolist() == [name == "Riddle" for name in found.index]
    assert found.at["Riddle", "tdp_imputed"]
    assert (found[["fp32", "fp16", "int8", "bandwidth", "tdp_w"]] > 0).all().all()


def test_a_second_table_adds_what_the_first_lacks(tmp_path: Path) -> None:
    """Stated figures of the first table win; a kind that does not exist is an error."""
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("device,kind,tdp_w,peak_fp32_tflops\nA,gpu,100,\n")
    two.write_text("device,kind,tdp_w,peak_fp32_tflops\nA,gpu,50,7\nB,cpu,65,1\n")
    found = device_tables.read([one, two])
    assert found.at["A", "tdp_w"] == 100
    assert found.at["A", "peak_fp32_tflops"] == 7
    assert "B" in found.index
    two.write_text("device,kind\nA,toaster\n")
    with pytest.raises(
        ValueError, match=r"two\.csv: row 1 column 'kind' 'toaster' is none of: cpu"
    ):
        device_tables.read([two])


@pytest.mark.parametrize(
    ("framework", "expected"),
    [
        ("Hugging Face PyTorch", "eager"),
        ("", "eager"),
        ("TensorFlow XLA", "compiled"),
        ("ONNX Runtime TensorRT", "tensorrt"),
        ("ONNX Runtime CUDA", "onnxruntime"),
        ("FasterTransformer (TensorFlow op)", "fused"),
        ("OpenVINO Model Server", "openvino"),
        ("MLCommons reference with deepsparse v1.5.2", "sparse"),
        ("QUALCOMM Cloud AI SDK v1.8.3", "vendor"),
        ("llama.cpp", "llm-server"),
    ],
)
def test_backend_classes(framework: str, expected: str) -> None:
    """Libraries fall into the class of their kind."""
    assert backend_class(framework) == expected


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("fp16/bf16", "fp16"),
        ("int8/fp16", "int8"),
        ("w4a16", "int4"),
        ("q4_k_m", "int4"),
        ("fp32(default)", "fp32"),
        ("", "unknown"),
    ],
)
def test_numeric_formats(precision: str, expected: str) -> None:
    """Names of precisions mean a format of arithmetic."""
    assert numeric_format(precision) == expected


def test_rounds_of_a_benchmark_are_one_publisher() -> None:
    """Versions do not count as independent."""
    assert publisher("mlperf-inference-v3.1") == publisher("mlperf-inference-v0.7")
    assert publisher("openvino-benchmarks-2022.1") != publisher("onnxruntime-readme")


def test_intervals_know_their_class() -> None:
    """A class with large errors gets wide intervals; a rare one the wide default."""
    random = np.random.default_rng(0)
    n = 900
    names = np.repeat(["calm", "wild", "rare"], [400, 400, 100])
    scale = np.select([names == "calm", names == "wild"], [0.1, 0.6], 0.2)
    groups = pd.DataFrame(
        {
            "class": names,
            "kind": "gpu",
            "kind_backend": names,
            "kind_format": "gpu|fp16",
            "work": "encoder",
            "device": np.where(names == "rare", "one", random.choice(list("abcdefgh"), n)),
            "publisher": random.choice(list("uvwx"), n),
        }
    )
    numeric = pd.DataFrame(
        {
            name: np.zeros(n)
            for name in (
                "peak_imputed",
                "tokens_assumed",
                "batch_assumed",
                "pruned",
                "log_tokens",
                "log_batch",
            )
        }
    )
    error = random.normal(0, scale)
    found = intervals.fit(numeric, groups, {"device": error})
    half = found.half(numeric, groups, np.full(n, "device"))
    inside = pd.Series(np.abs(error) <= half).groupby(names).mean()
    assert inside.between(0.85, 0.99).all()
    assert np.median(half[names == "wild"]) > 3 * np.median(half[names == "calm"])
    assert "rare" not in found.quantile["device"]
    assert not found.known("rare")
