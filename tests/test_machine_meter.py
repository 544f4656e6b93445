"""Meters: labels say whether a counter was read, and what was not read is absent."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import scripted_amdsmi
from scripted_nvml import Board, Library

from calibration.measurement.windows import idle_watts
from calibration.meters import codecarbon, machine_meter
from calibration.meters.machine_meter import (
    CodeCarbonMeter,
    MachineMeter,
    NullMeter,
    RaplMeter,
    Reading,
    RecordingMeter,
    ReplayMeter,
    Sources,
    rapl_zones,
)
from calibration.meters.meter import combined_context
from calibration.meters.rapl import component_j
from calibration.meters.replay import load_windows
from catalog.records import Device


def test_nothing_is_called_measured_on_a_machine_without_counters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CodeCarbon's assumed watts are modelled, positive, and leave no file behind."""
    if machine_meter.counter_readable():
        pytest.skip("this machine has an energy counter")
    monkeypatch.chdir(tmp_path)
    meter = CodeCarbonMeter()
    meter.start()
    time.sleep(1.1)
    reading = meter.stop()
    assert set(reading.components) == {"cpu", "dram"}
    assert {label for _, label in reading.components.values()} == {"modelled"}
    assert all(joules > 0 for joules, _ in reading.components.values())
    assert not meter.has_counter
    assert reading.measured_j() is None
    assert idle_watts(meter, 1.0) is None
    assert list(tmp_path.iterdir()) == []


def test_codecarbon_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """A window leaves standard output and error empty."""
    meter = CodeCarbonMeter()
    meter.start()
    meter.stop()
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_codecarbon_labels_follow_what_it_reads() -> None:
    """RAPL and NVML are counters; CPU load, TDP constants and RAM are not."""

    def part(name: str, mode: str | None = None) -> Any:
        return type(name, (SimpleNamespace,), {})(_mode=mode)

    assert codecarbon._labels([part("CPU", "intel_rapl"), part("GPU"), part("RAM")]) == {
        "cpu": "measured",
        "gpu": "measured",
    }
    assert codecarbon._labels([part("CPU", "cpu_load")]) == {"cpu": "modelled"}
    assert codecarbon._labels([part("CPU", "constant")]) == {"cpu": "modelled"}


def test_without_codecarbon_energy_stays_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meter of last resort reads no component."""
    monkeypatch.setattr(machine_meter.importlib.util, "find_spec", lambda _: None)
    meter = machine_meter.meter_for(SimpleNamespace(kind="cpu"))  # type: ignore[arg-type]
    meter.start()
    assert isinstance(meter, NullMeter)
    assert meter.stop() == Reading({})
    assert machine_meter.meter_name(SimpleNamespace(kind="cpu")) == meter.name


def test_a_replay_gives_its_readings_in_order_then_the_last_again() -> None:
    """The double serves recorded windows."""
    meter = ReplayMeter([{"cpu": (1.0, "measured")}, {"cpu": (2.0, "measured")}])
    given = [meter.stop().components["cpu"][0] for _ in range(3)]
    assert given == [1.0, 2.0, 2.0]
    assert meter.has_counter


def test_idle_power_is_read_from_counters_only() -> None:
    """Watts are measured joules over the seconds waited; modelled parts do not count."""
    meter = ReplayMeter([{"cpu": (3.0, "measured"), "dram": (100.0, "modelled")}])
    watts = idle_watts(meter, 0.2)
    assert watts == pytest.approx(3.0 / 0.2, rel=0.2)


def test_rapl_zones_tell_who_may_read_them(tmp_path: Path) -> None:
    """A zone without an energy file, or without rights, is there but not readable."""
    for number, name in (("0", "package-0"), ("0:0", "dram"), ("1", "package-1")):
        folder = tmp_path / f"intel-rapl:{number}"
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        if name != "package-1":
            (folder / "energy_uj").write_text("1234\n")
    found = {zone.name: zone.readable for zone in rapl_zones(tmp_path)}
    assert found == {"package-0": True, "dram": True, "package-1": False}
    if os.geteuid() != 0:
        (tmp_path / "intel-rapl:0" / "energy_uj").chmod(0)
        assert not next(iter(rapl_zones(tmp_path))).readable


GPU = Device(name="NVIDIA A30", kind="gpu")
CPU = Device(name="AMD EPYC", kind="cpu")


class Part:
    """A counter meter that says what it is told."""

    min_window_s = 0.5

    def __init__(self, name: str, reading: Reading, *covers: str) -> None:
        self.name, self.reading, self.covers = name, reading, frozenset(covers)
        self.has_counter, self.absent = bool(covers), reading.absent
        self.log: list[str] = []

    def start(self) -> None:
        """Begins."""
        self.log.append("start")

    def stop(self) -> Reading:
        """Ends."""
        self.log.append("stop")
        return self.reading


class Stream(Part):
    """A meter that waits for its values and notes when it was told where a window begins."""

    def mark(self) -> None:
        """Notes a moment."""
        self.log.append("mark")


MODEL = ReplayMeter([{"cpu": (9.0, "modelled"), "dram": (8.0, "modelled")}])
ALL = frozenset({"gpu", "cpu", "dram"})


def test_counters_go_first_and_codecarbon_fills_the_rest() -> None:
    """GPU and package are measured, memory is modelled; the model of the package stays beside."""
    gpu = Part("nvml", Reading({"gpu": (50.0, "measured")}, flags=("throttled",)), "gpu")
    rapl = Part("rapl", Reading({"cpu": (5.0, "measured")}, absent={"dram": "none"}), "cpu")
    meter = MachineMeter([gpu, rapl], MODEL, ALL)
    meter.start()
    reading = meter.stop()
    assert reading.components == {
        "gpu": (50.0, "measured"),
        "cpu": (5.0, "measured"),
        "dram": (8.0, "modelled"),
    }
    assert reading.context["codecarbon_j"] == {"cpu": 9.0}
    assert (reading.flags, reading.absent) == (("throttled",), {})
    assert (meter.name, meter.has_counter) == ("nvml+rapl+codecarbon", True)


def test_a_model_never_replaces_what_a_counter_failed_to_read() -> None:
    """An invalid window stays invalid, with the reason; the model is only kept beside."""
    rapl = Part("rapl", Reading({}, absent={"cpu": "was reset"}), "cpu", "dram")
    rapl.absent = {}
    meter = MachineMeter([rapl], MODEL, frozenset({"cpu", "dram"}))
    meter.start()
    reading = meter.stop()
    assert reading.components == {}
    assert reading.absent == {"cpu": "was reset"}
    assert reading.context["codecarbon_j"] == {"cpu": 9.0, "dram": 8.0}
    assert (meter.name, reading.flags) == ("rapl", ("counter-failed",))


def test_a_stream_is_marked_where_the_counters_begin_and_end() -> None:
    """Its own waiting lies outside of everybody's window; its reason for failing is kept."""
    order: list[str] = []
    rapl = Part("rapl", Reading({"cpu": (5.0, "measured")}), "cpu", "dram")
    wall = Stream("wall", Reading({"wall": (90.0, "measured")}), "wall")
    rapl.log = wall.log = order
    meter = MachineMeter([rapl], MODEL, frozenset({"cpu", "dram"}), [wall])
    meter.start()
    reading = meter.stop()
    assert order == ["start", "start", "mark", "mark", "stop", "stop"]
    assert reading.components["wall"] == (90.0, "measured")
    assert meter.name == "rapl+wall"
    broken = Stream("wall", Reading({}, absent={"wall": "no plug"}))
    assert MachineMeter([rapl], None, ALL, [broken]).stop().absent == {"wall": "no plug"}


def test_a_board_leaves_nothing_to_model() -> None:
    """Its rail feeds CPU and memory: their modelled joules would count twice."""
    board = Part("ina", Reading({"board": (40.0, "measured")}), "board")
    meter = MachineMeter([board], MODEL, frozenset({"cpu", "dram"}))
    meter.start()
    reading = meter.stop()
    assert reading.components == {"board": (40.0, "measured")}
    assert reading.context["codecarbon_j"] == {"cpu": 9.0, "dram": 8.0}
    assert meter.name == "ina"


@pytest.mark.parametrize(
    ("joules", "total"),
    [
        ({"gpu": 50.0, "cpu": 5.0, "wall": 90.0}, 55.0),
        ({"board": 40.0, "wall": 90.0}, 40.0),
        ({"wall": 90.0}, 90.0),
        ({}, None),
    ],
)
def test_what_holds_one_another_is_not_added(joules: dict[str, float], total: float | None) -> None:
    """The plug holds the board, the board its chips: the innermost count."""
    reading = Reading({part: (value, "measured") for part, value in joules.items()})
    assert reading.measured_j() == total


def test_the_vendor_of_a_gpu_decides_its_counter(tmp_path: Path) -> None:
    """AMD's by AMD SMI, others' by NVML; a board's rails before either."""
    amd, nvidia = scripted_amdsmi.Library(scripted_amdsmi.Card()), Library(Board("GPU-a", [1000]))
    sources = Sources(
        pynvml=lambda: nvidia,
        amdsmi=lambda: amd,
        powercap=powercap(tmp_path / "powercap", dram=True),
        i2c=tmp_path / "i2c",
        environment={},
    )
    card = Device(name="AMD Instinct MI300X", kind="gpu", vendor="AMD")
    assert machine_meter.meter_name(card, sources) == "amdsmi+rapl"
    assert machine_meter.meter_name(GPU, sources) == "nvml+rapl"
    folder = tmp_path / "i2c" / "ina3221" / "1-0040" / "hwmon" / "hwmon1"
    folder.mkdir(parents=True)
    for file, text in {"in1_label": "VDD_IN", "in1_input": "5000", "curr1_input": "900"}.items():
        (folder / file).write_text(text)
    assert machine_meter.meter_name(GPU, sources) == "ina"


def test_idle_power_is_unknown_where_a_counter_failed() -> None:
    """The GPU alone is not the machine."""
    gpu = Part("nvml", Reading({"gpu": (50.0, "measured")}), "gpu")
    rapl = Part("rapl", Reading({}, absent={"cpu": "was reset"}), "cpu", "dram")
    assert idle_watts(MachineMeter([gpu], None, ALL), 0.01) is not None
    assert idle_watts(MachineMeter([gpu, rapl], None, ALL), 0.01) is None


def powercap(root: Path, *, dram: bool = False) -> Path:
    """A tree with one package."""
    zones = {"intel-rapl:0": "package-0", **({"intel-rapl:0:0": "dram"} if dram else {})}
    for folder, name in zones.items():
        (root / folder).mkdir(parents=True)
        (root / folder / "name").write_text(name)
        (root / folder / "energy_uj").write_text("1000000")
    return root


def test_what_rapl_refused_codecarbon_may_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two packages cannot be read: half a machine is no measured CPU, whoever reads it."""
    root = powercap(tmp_path / "powercap")
    (root / "intel-rapl:1").mkdir()
    (root / "intel-rapl:1" / "name").write_text("package-1")
    monkeypatch.setattr(
        CodeCarbonMeter, "stop", lambda self: self._labelled({"cpu": 5.0, "dram": 2.0})
    )
    monkeypatch.setattr(CodeCarbonMeter, "start", lambda self: setattr(self, "_labels", {}))
    meter = machine_meter.meter_for(CPU, Sources(powercap=root, environment={}))
    assert isinstance(meter, CodeCarbonMeter)
    for read, kept in (
        ("measured", {"dram": (2.0, "modelled")}),
        ("modelled", {"cpu": (5.0, "modelled"), "dram": (2.0, "modelled")}),
    ):
        meter._labels = {"cpu": read}  # type: ignore[dict-item]
        assert meter.stop().components == kept


def test_a_device_gets_its_counters(tmp_path: Path) -> None:
    """The name before and after starting the meter is the same; a CPU's window has no GPU."""
    root = powercap(tmp_path / "powercap", dram=True)
    gpus = Library(Board("GPU-a", [1000]))
    sources = Sources(pynvml=lambda: gpus, powercap=root, environment={})
    chosen = machine_meter.meter_for(CPU, sources)
    assert chosen.name == machine_meter.meter_name(CPU, sources) == "rapl"
    chosen = machine_meter.meter_for(GPU, sources)
    assert chosen.name == machine_meter.meter_name(GPU, sources)
    assert (chosen.name, chosen.has_counter, chosen.min_window_s) == ("nvml+rapl", True, 2.0)


def test_where_memory_has_no_counter_codecarbon_is_named(tmp_path: Path) -> None:
    """The fallback is part of the name only where it gives a component."""
    root = powercap(tmp_path / "powercap")
    assert machine_meter.meter_name(CPU, Sources(powercap=root)) == "rapl+codecarbon"
    assert machine_meter.meter_name(CPU, Sources(powercap=tmp_path / "none")) == "codecarbon"


def test_codecarbon_is_a_second_opinion_beside_counters(tmp_path: Path) -> None:
    """A whole window: measured joules from the counter, modelled ones in the context alone."""
    root = powercap(tmp_path / "powercap", dram=True)
    meter = machine_meter.meter_for(CPU, Sources(powercap=root, environment={}))
    meter.start()
    time.sleep(1.1)
    for zone in ("intel-rapl:0", "intel-rapl:0:0"):
        (root / zone / "energy_uj").write_text("3000000")
    reading = meter.stop()
    assert reading.components == {"cpu": (2.0, "measured"), "dram": (2.0, "measured")}
    assert reading.context["codecarbon_j"]["dram"] > 0


def test_windows_are_recorded_and_replayed(tmp_path: Path) -> None:
    """A recording holds what a meter said and what its counters did; a replay gives it again."""
    root, file = powercap(tmp_path / "powercap", dram=True), tmp_path / "made" / "windows.jsonl"
    recorder = RecordingMeter(RaplMeter(root), file)
    said = []
    for value in ("3000000", "3000000"):
        recorder.start()
        (root / "intel-rapl:0" / "energy_uj").write_text(value)
        said.append(recorder.stop())
    replay = ReplayMeter.load(file)
    again = [replay.stop() for _ in said]
    assert (
        [r.components for r in again]
        == [r.components for r in said]
        == [
            {"cpu": (2.0, "measured")},
            {},
        ]
    )
    assert (replay.name, replay.has_counter) == ("replay:rapl", True)
    assert "did not move" in again[1].absent["cpu"]
    assert component_j(again[0].raw["cpu"]) == 2.0


def test_asking_by_environment_records(tmp_path: Path) -> None:
    """`JOULEWISE_WINDOWS` names the file; the meter keeps its name."""
    file = tmp_path / "windows.jsonl"
    root = powercap(tmp_path / "powercap", dram=True)
    meter = machine_meter.meter_for(
        CPU,
        Sources(powercap=root, environment={machine_meter.RECORDING_VARIABLE: str(file)}),
    )
    meter.start()
    meter.stop()
    assert meter.name == "rapl"
    assert [window.meter for window in load_windows(file)] == ["rapl"]


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "no window"), ("{}\n", ":1: is no"), ("x\n", ":1: is no")],
)
def test_a_bad_recording_names_the_line(tmp_path: Path, text: str, why: str) -> None:
    """What is no window is refused."""
    file = tmp_path / "windows.jsonl"
    file.write_text(text)
    with pytest.raises(ValueError, match=why):
        load_windows(file)


def test_windows_become_one_context() -> None:
    """Hottest, lowest limit, all reasons; the second opinion is scaled like the row's joules."""
    seen = [
        {"gpu_temperature_c": 60, "gpu_power_limit_w": 165.0, "codecarbon_j": {"cpu": 10.0}},
        {"gpu_temperature_c": 70, "gpu_throttle": ["power-cap"], "codecarbon_j": {"cpu": 30.0}},
        {"integrated_over_counter": 0.8, "codecarbon_j": {"cpu": 80.0}},
        {"integrated_over_counter": 1.1},
    ]
    readings = [Reading({}, context=context) for context in seen]
    assert combined_context(readings, [10, 20, 40, 40], 100) == {
        "gpu_temperature_c": 70,
        "gpu_power_limit_w": 165.0,
        "gpu_throttle": ["power-cap"],
        "integrated_over_counter": 0.8,
        "codecarbon_j": {"cpu": 150.0},
    }
    assert combined_context([Reading({}, absent={"cpu": "why"})], [1], 1) == {
        "absent": {"cpu": "why"}
    }
