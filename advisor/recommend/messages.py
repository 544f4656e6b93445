"""The sentences behind warning codes, and figures as people read them."""

from __future__ import annotations

from advisor.recommend.records import WarningCode

CAUTIONS: dict[WarningCode, str] = {
    "accuracy-contaminated": "the model may have seen this data set in training; its accuracy "
    "may be too good",
    "accuracy-contamination-unknown": "nothing says whether the model saw this data set in "
    "training; check the accuracy on texts of your own",
    "accuracy-full-not-measured": "the accuracy is of a head on few texts per class; trained on "
    "all labelled texts the same model is usually better",
    "accuracy-low-across-task": "the chosen candidate is under the floor on most data sets of the "
    "task: check it on your own texts",
    "accuracy-other-device": "the accuracy was taken with the same candidate on another device",
    "accuracy-other-workload": "the accuracy was taken on another data set of the same task",
    "accuracy-self-reported": "only the model's author reports this accuracy; such figures run 1.3 "
    "points higher on average, up to 8: check it on texts of your own",
    "accuracy-suspect": "the source's accuracy looks like a fault of the output format",
    "accuracy-uncertain": "the accuracy's interval reaches below the floor; ask with a confidence "
    "to be surer",
    "batches-assumed": "measured in batches: it is assumed that as many texts may wait for each "
    "other, which takes longer the rarer they come",
    "device-assumed": "the name may mean several devices, or no figure of the device is known; the "
    "message says what was assumed",
    "device-not-calibrated": "no measured energy of this device and scope is in the estimator's "
    "data; one reading of a counter or meter there would narrow the interval",
    "device-specs-assumed": "the device's power is not known; a median of the device table stands "
    "in, and the interval is widened for it",
    "devices-unstated": "the source does not say how many such devices worked; read the joules as "
    "those of all of them",
    "energy-bound": "the source prints only an upper bound of the energy; it ranks at that bound",
    "energy-mixed": "part of the energy was measured, part modelled by the source's tool",
    "floor-below-majority": "always answering the most frequent class of the data set reaches the "
    "floor; ask for more",
    "idle-assumed": "nobody read the idle watts of this machine in this scope with the model "
    "loaded; a declared share of its power stands in, never above what it draws at work, with a "
    "wide interval",
    "idle-devices-counted": "the total counts devices that sat idle beside the one at work; read "
    "it as an upper bound",
    "idle-lower-bound": "the idle watts leave something out (the loaded model, or parts of the "
    "machine), so the total is a lower bound; state idle_w",
    "idle-missing": "nobody knows the idle watts of this machine, so the idle part is missing "
    "and the total a lower bound; state idle_w or calibrate the machine",
    "instance-hardware": "a cloud instance was named: its device is priced, and energy that counts "
    "the host counts a whole one",
    "other-groups": "options of another data set or scenario qualify too; they cannot be compared "
    "and are listed apart",
    "other-load": "other processes kept more than half a core busy while it was measured "
    "(`context.other_cores`)",
    "out-of-range": "the setup lies outside the data the estimator learned from",
    "peak-above-capacity": "the stated machines cannot keep up with the peak rate; texts will wait",
    "rate-near-capacity": "within the interval of its runtime the setup may not keep up with the "
    "asked rate",
    "rate-worked-out": "nobody measured this setup at the asked rate; its joules are worked out "
    "from what a text needs and from the idle watts of a machine of its own; its latency is not "
    "known; `joulewise calibrate --rate` measures both",
    "reference-thin": "fewer than 20 candidates have an accuracy on this data set",
    "scenario-unstated": "the source does not state batch size or request pattern; the row counts "
    "as offline",
    "second-opinion-differs": "the joules a tool modelled lie outside the estimate's interval",
    "spread-unstated": "the source states no spread of repeats; the interval is that of the "
    "printed figure alone",
    "server-rate-differs": "the joules are of another request rate than each machine is planned "
    "for; the waiting between requests is held at that rate",
    "setup-assumed": "parameters, batch size, tokens or precision were not stated: the estimate is "
    "for what published rows that state none are like; state them",
    "splits-differ": "some accuracies were taken on the dev split, others on the test split",
    "stale-measurement": "the machine has changed since (driver, power limit, governor, protocol, "
    "meter or a library); calibrate it again",
    "startup-in-window": "the measured window holds process start and model load",
    "test-sets-differ": "some candidates were judged on other test items and are not compared "
    "item by item",
    "tie": "the energy intervals overlap",
    "training-estimated": "the training's joules are estimated from its runtime by an estimator "
    "that learned from inference",
    "training-missing": "no training of this candidate on this device is in the catalog, so the "
    "training part is missing and the total a lower bound; state training_kwh",
    "unstable": "repeats differ by more than 5 %, or meters disagree",
    "usual-tool-unmeasured": "what practitioners use for this task has no published accuracy here",
    "variant-raises-energy": "a lower precision or a larger batch was measured to need more energy "
    "than the same candidate without it",
}
"""Every warning code with what it means."""
SCENARIOS = {
    "offline": "in batches",
    "single": "one text at a time",
    "server": "as requests arrive",
    "unstated": "in a way the source does not state",
}
"""How texts come, in words, by scenario."""


def figure(value: float) -> str:
    """A number at three significant digits, without exponents up to a million."""
    if value == 0 or not 1e-4 <= abs(value) < 1e12:
        return f"{value:.3g}"
    digits = f"{value:.3g}"
    return f"{float(digits):,.10g}" if "e" in digits or abs(value) >= 1000 else digits
