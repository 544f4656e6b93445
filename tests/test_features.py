"""Tests of `features`: nominal power, roofline and the matrix the estimator sees."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.estimator.features import FEATURES, ROOFLINE, design, numbers
from advisor.estimator.imputation import Imputation, imputation
from advisor.estimator.imputation import tdp_is_assumed as assumed
from advisor.estimator.setup import Setup, from_measurement, host_class, precision_bits
from advisor.evaluation.experts import active_parameters
from catalog import reference_data as bundled
from catalog.records import Candidate, Device, Measurement

GPU = Device(
    name="G", kind="gpu", tdp_w=300.0, peak_fp32_tflops=20.0, peak_fp16_tflops=100.0,
    bandwidth_gbs=1000.0,
)  # fmt: skip
STAND_IN: Imputation = imputation(list(bundled.devices().values()))


def roofline(setup: Setup) -> float:
    """Seconds per text the roofline gives."""
    return float(numbers([setup], STAND_IN)[ROOFLINE, 0])


def test_the_roofline_is_compute_traffic_and_overhead() -> None:
    """Worked by hand for a 1e9-parameter model in fp16 at batch 10 with 50 tokens."""
    setup = Setup(device=GPU, n_parameters=1e9, tokens=50, batch_size=10, precision="fp16")
    compute = 2 * 1e9 * 50 / (0.3 * 100e12)
    traffic = 1e9 * 2 / 10 / (0.6 * 1000e9)
    assert roofline(setup) == pytest.approx(compute + traffic + 5e-3 / 10)


def test_peak_compute_is_that_of_the_precision() -> None:
    """8 bits at their own rate where one is stated, else as 16; 4 bits are unpacked to 16."""
    with_int8 = msgspec.structs.replace(GPU, peak_int8_tops=400.0)

    def flops(device: Device, precision: str) -> float:
        setup = Setup(device=device, n_parameters=1e9, tokens=50, precision=precision)
        ideal = math.exp(design(numbers([setup], STAND_IN)).X[0, FEATURES.index("log_ideal_s")])
        return 2 * 1e9 * 50 / ideal

    for precision, tera in (
        ("fp32", 20),
        ("bf16", 100),
        ("int8", 400),
        ("fp8", 400),
        ("int4", 100),
    ):
        assert flops(with_int8, precision) == pytest.approx(tera * 1e12, rel=1e-6)
    assert flops(GPU, "int8") == pytest.approx(100e12, rel=1e-6)


def test_an_unstated_batch_is_that_of_scenario_offline() -> None:
    """The roofline is that of 32 texts a call; a feature still tells the two apart."""
    setup = Setup(device=GPU, n_parameters=1e8, tokens=50)
    stated = msgspec.structs.replace(setup, batch_size=32)
    assert roofline(setup) == roofline(stated)
    one, other = design(numbers([setup, stated], STAND_IN)).X
    apart = [name for name, a, b in zip(FEATURES, one, other, strict=True) if a != b]
    assert apart == ["batch_missing"]


@given(factor=st.floats(1.01, 100), batch=st.floats(1, 512), tokens=st.floats(1, 2048))
def test_more_work_never_takes_less_time(factor: float, batch: float, tokens: float) -> None:
    """Parameters and tokens lengthen the roofline; batching never does."""
    setup = Setup(device=GPU, n_parameters=1e8, batch_size=batch, tokens=tokens)
    more = msgspec.structs.replace
    assert roofline(more(setup, n_parameters=1e8 * factor)) > roofline(setup)
    assert roofline(more(setup, tokens=tokens * factor)) > roofline(setup)
    assert roofline(more(setup, batch_size=batch * factor)) < roofline(setup)


def test_nominal_power_adds_idle_devices_and_the_host() -> None:
    """One device at work and three idle in a server: TDP, three idle shares, 200 W around."""
    setup = Setup(device=GPU, n_devices=4, n_active=1, scope="host")
    made = design(numbers([setup], STAND_IN))
    assert math.exp(made.log_nominal_w[0]) == pytest.approx(300 + 3 * 0.15 * 300 + 200)
    alone = design(numbers([msgspec.structs.replace(setup, scope="device")], STAND_IN))
    assert math.exp(alone.log_nominal_w[0]) == pytest.approx(300 + 3 * 0.15 * 300)


def test_a_mixture_of_experts_computes_with_some_and_reads_what_a_batch_touches() -> None:
    """FLOPs are those of the active parameters; large batches read the weights of all experts."""
    dense = Setup(device=GPU, n_parameters=4e10, batch_size=1, tokens=100, llm=True)
    mixed = msgspec.structs.replace(dense, n_active_parameters=1e10)
    flops, weights = 7, 8  # rows of `numbers`
    one, other = (numbers([setup], STAND_IN)[:, 0] for setup in (dense, mixed))
    assert other[flops] == pytest.approx(0.25 * one[flops])
    assert other[weights] == pytest.approx(0.25 * one[weights])  # a token at a time
    batched = [msgspec.structs.replace(setup, batch_size=32) for setup in (dense, mixed)]
    one, other = numbers(batched, STAND_IN).T
    assert other[weights] == pytest.approx((1 - 0.75**32) * one[weights])
    unsized = msgspec.structs.replace(mixed, n_parameters=None)
    assert numbers([unsized], STAND_IN)[0, 0] == 1e10
    too_many = msgspec.structs.replace(dense, n_active_parameters=1e12)
    assert (numbers([too_many], STAND_IN) == numbers([dense], STAND_IN)).all()


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", 22e9),
        ("someone/Tiny-MoE-A2.7B", 2.7e9),
        ("Mixtral (8x7B)", 12.9e9),
        ("mistralai/Mixtral-8x22B-Instruct-v0.1", 39e9),
        ("openai/gpt-oss-120b", 5e9),
        ("OpenAI/GPT-OSS-120b", 5e9),
        ("someone/x-30b_a3b_fp8", 3e9),
        ("flexibert-a1445729322b", None),
        ("meta-llama/Meta-Llama-3.1-70B-Instruct", None),
        ("bert-base-uncased", None),
    ],
)
def test_names_tell_the_active_parameters(model: str, wanted: float | None) -> None:
    """By the name, else by the bundled candidate of that checkpoint."""
    assert active_parameters(model) == wanted


def test_setups_are_worked_out_alike_alone_and_together() -> None:
    """A column of many is that of one; what is 0 is not stated; none give none."""
    devices = [*bundled.devices().values()][:40]
    setups = [
        Setup(device=device, n_parameters=size, runtime_s=seconds, tokens=tokens, llm=llm)
        for device in devices
        for size, seconds, tokens, llm in (
            (1e9, None, 100.0, True), (None, 0.1, None, False), (0.0, 0.0, 0.0, False)
        )
    ]  # fmt: skip
    together = numbers(setups, STAND_IN)
    alone = np.hstack([numbers([setup], STAND_IN) for setup in setups])
    assert (together == alone).all()
    assert numbers([], STAND_IN).shape == (len(together), 0)


def test_a_card_idles_while_a_process_starts() -> None:
    """With process start in the window a card counts at its idle share; a CPU or SoC works."""

    def watts(device: Device) -> float:
        setup = Setup(device=device, scope="device", startup=True)
        return math.exp(float(design(numbers([setup], STAND_IN)).log_nominal_w[0]))

    assert watts(GPU) == pytest.approx(0.15 * 300)
    eight = Setup(device=GPU, scope="device", startup=True, n_active=8)
    made = design(numbers([eight], STAND_IN))
    assert math.exp(made.log_nominal_w[0]) == pytest.approx(8 * 0.15 * 300)
    for name in ("NVIDIA Jetson Xavier NX", "Intel Core i7-6700"):
        device = bundled.devices()[name]
        assert watts(device) == pytest.approx(device.tdp_w)


def test_the_matrix_is_finite_for_every_device_of_the_table() -> None:
    """No device of the table, and no device that is only a kind, gives a hole in the features."""
    bare = [Device(name=kind, kind=kind) for kind in ("cpu", "gpu", "npu", "soc")]  # type: ignore[arg-type]
    setups = [
        Setup(device=device, scope=scope, n_parameters=parameters)
        for device in [*bundled.devices().values(), *bare]
        for scope in ("device", "host", "wall")
        for parameters in (None, 1e4, 1e12)
    ]
    made = design(numbers(setups, STAND_IN))
    assert made.X.shape == (len(setups), len(FEATURES))
    assert np.isfinite(made.X).all()
    assert np.isfinite(made.log_nominal_w).all()
    assert all(assumed(device) for device in bare)


def test_stand_ins_are_medians_of_the_class() -> None:
    """A GPU of a server without a TDP gets the median TDP of the server GPUs in the table."""
    own = [
        device.tdp_w
        for device in bundled.devices().values()
        if device.kind == "gpu"
        and host_class(device) == "server"
        and device.tdp_w
        and device.dataset == "energy"
    ]
    assert STAND_IN.watts["gpu/server"] == pytest.approx(float(np.median(own)))
    assert STAND_IN.spread["gpu/server"] == pytest.approx(float(np.std(np.log(own))))


def test_another_bundled_machine_changes_no_stand_in() -> None:
    """Only machines of the measured energies and of users count, read figures alone."""
    table = [*bundled.devices().values()]
    assert imputation([each for each in table if each.dataset == "energy"]) == STAND_IN
    mine = Device(name="mine", kind="gpu", tdp_w=5000.0)
    assert imputation([*table, mine]) != STAND_IN


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("fp32", 32), ("bf16", 16), ("int8", 8), ("int4", 4), (None, 16), ("best", 16), ("int9", 16)],
)
def test_precision_is_read_as_bits(name: str | None, wanted: float) -> None:
    """The number in a precision is its bits; without one that can be it is half precision."""
    assert precision_bits(name) == wanted


def test_of_a_measured_row_only_the_runtime_enters() -> None:
    """Nothing else read inside the window becomes a feature."""
    row = Measurement(
        run_id="r", source="s", workload="w", candidate="c", device="G", n_items=10.0,
        runtime_s=5.0, tokens_mean=30.0,
    )  # fmt: skip
    read = msgspec.structs.replace(
        row, gpu_j=1.0, idle_w=9.0, latency_p95_ms=3.0, peak_memory_mb=8.0, cv=0.2, accuracy=0.5
    )
    candidate = Candidate(name="c", family="other", n_parameters=2e9, n_active_parameters=1e9)
    setup = from_measurement(row, GPU, candidate, "host")
    assert setup == from_measurement(read, GPU, candidate, "host")
    assert (setup.runtime_s, setup.tokens) == (0.5, 30.0)
    assert (setup.n_parameters, setup.n_active_parameters) == (2e9, 1e9)
    assert setup.batch_size is None
    single = msgspec.structs.replace(row, scenario="single")
    assert from_measurement(single, GPU, candidate, "host").batch_size == 1
