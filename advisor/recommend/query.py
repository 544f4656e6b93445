"""The question: every parameter declared once, with its type, range and description.

HTTP parsing, the OpenAPI document, the options of `joulewise recommend` and the ranges of a
deployment plan are made from `Query` and `UnlistedDevice`.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from catalog.evidence import Labels, Metric
from catalog.hardware.device_defaults import check_specs
from catalog.records import BACKENDS, Device, Kind, Scope

AskedScenario = Literal["single", "offline", "server"]
AskedAccuracyBasis = Literal["measured", "published", "any"]
ANY_BACKEND = "any"
VENDORS = ("mps", "neuron", "vendor")
"""Runtimes of makers beside `catalog.records.BACKENDS`: Apple's, AWS's, another NPU's own."""
PRECISIONS = ("fp64", "fp32", "bf16", "fp16", "fp8", "int8", "int4")
MOST_ENTRIES = 1000
"""Entries of an answer's lists together, at most."""
AS_SPECIFIED = "as specified"
"""Name of a device that is given by its specs."""


class BadQuestionError(ValueError):
    """A question that cannot be asked; names the field, what came and what is allowed.

    Attributes:
        field: Name of the parameter.
        came: The value that came.
        allowed: What would be allowed, in words.
    """

    def __init__(self, field: str, came: object, allowed: str) -> None:
        self.field, self.came, self.allowed = field, came, allowed
        fault = f"{field}: missing" if came is None else f"{field}: {came!r} is not allowed"
        super().__init__(f"{fault}; {allowed}")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What a product team asks.

    Attributes:
        min_acc: Least value of `metric`, 0 to 1.
        device: Name of a device, or its specs where the table lacks it; ``None`` takes the
            reference machine, see `advisor.recommend.machine`.
        workload: One data set of the task; ``None`` takes the task's reference workload.
        confidence: With which the floor holds for the one-sided lower bound of the accuracy; 0
            holds it against the value itself.
        labels: Labelled texts there are: ``none``, ``few`` (per class) or ``full``.
        accuracy_basis: ``measured`` by the calibration suite only, ``published`` too, or ``any``:
            also estimates that follow from what was measured on the workload. ``None`` takes
            ``any`` on a workload of the asker's own, else ``published``.
        backend: One serving backend, or ``any`` to rank all; ``None`` takes each one's usual.
        runtime_s_per_1000: Seconds that whoever asks measured, with the usual serving choice of
            `candidate` or that of `backend` and `precision`; of nobody's other choices.
        candidate: One that is always listed; without it a stated runtime is taken for each one's.
        rate: Texts per second of scenario ``server``; the energy of setups that were not measured
            at it is derived from their work and idle watts.
        limit: Entries at most in alternatives, front and rejected together, a few in each.
        cursor: Where the lists of an answer to the same question and limit go on; its `next`.
    """

    task: Annotated[
        str, Meta(description="what is decided; GET /tasks lists them", examples=["sentiment"])
    ]
    min_acc: Annotated[
        float, Meta(ge=0, le=1, description="least accuracy, 0 to 1", examples=[0.85])
    ]
    device: Annotated[
        str | Device | None,
        Meta(
            description="device or cloud instance, as people write it; GET /devices lists devices"
        ),
    ] = None
    workload: Annotated[
        str | None, Meta(description="one data set of the task; GET /workloads")
    ] = None
    scenario: Annotated[AskedScenario, Meta(description="one of single, offline, server")] = (
        "offline"
    )
    scope: Annotated[Scope, Meta(description="whose joules count: device, host or wall")] = "host"
    basis: Annotated[
        Literal["any", "measured"],
        Meta(description="measured: only energy that was measured; any"),
    ] = "any"
    batch_size: (
        Annotated[float, Meta(ge=1, le=1e7, description="texts per call, 1 or more")] | None
    ) = None
    confidence: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="hold the accuracy floor with this one-sided confidence, 0.5 to 1; "
            "0 takes the value as it is",
        ),
    ] = 0.9
    labels: Annotated[
        Labels, Meta(description="labelled texts there are: none, few (8 per class) or full")
    ] = "full"
    metric: Annotated[Metric, Meta(description="what the floor is about: accuracy or macro_f1")] = (
        "accuracy"
    )
    accuracy_basis: (
        Annotated[
            AskedAccuracyBasis,
            Meta(
                description="whose accuracies count: measured (by the suite), published (too) or "
                "any (estimated ones too; the default on workloads of your own)"
            ),
        ]
        | None
    ) = None
    backend: (
        Annotated[
            str,
            Meta(description="serving backend, e.g. onnxruntime; any ranks all of them"),
        ]
        | None
    ) = None
    precision: Annotated[str, Meta(description="numeric format, e.g. fp16 or int8")] | None = None
    runtime_s_per_1000: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=1e9,
                description="seconds per 1,000 texts that you measured on that device with "
                "`candidate`; without one they are taken for every candidate's",
            ),
        ]
        | None
    ) = None
    candidate: Annotated[
        str | None, Meta(description="one that is always listed; runtime_s_per_1000 is its")
    ] = None
    max_latency_ms: (
        Annotated[float, Meta(gt=0, le=1e9, description="milliseconds, above 0")] | None
    ) = None
    max_memory_gb: Annotated[float, Meta(gt=0, le=1e9, description="1e9 bytes, above 0")] | None = (
        None
    )
    language: Annotated[str | None, Meta(description="ISO 639-1 code")] = None
    licence: Annotated[str | None, Meta(description="SPDX name of the candidate's licence")] = None
    rate: (
        Annotated[float, Meta(ge=1e-6, le=1e9, description="texts per second; scenario=server")]
        | None
    ) = None
    limit: Annotated[
        int, Meta(ge=1, le=MOST_ENTRIES, description="entries of the lists together, 1 to 1000")
    ] = 20
    cursor: Annotated[
        str | None, Meta(description="the value of `next` of the answer to the same question")
    ] = None

    def check(self) -> None:
        """Refuses values out of range; a record made in code was not checked when it was made.

        Raises:
            BadQuestionError: Names the field, what came and what is allowed.
        """
        if self.rate is not None and self.scenario != "server":
            raise BadQuestionError("rate", self.rate, "allowed with scenario=server only")
        if 0 < self.confidence < 0.5:
            raise BadQuestionError("confidence", self.confidence, "0, or 0.5 to 1")
        given = {name: getattr(self, name) for name in _declared().__struct_fields__}
        try:
            msgspec.convert(given, _declared())
        except msgspec.ValidationError as error:
            raise _refusal(given, str(error)) from error
        backends = (ANY_BACKEND, *BACKENDS, *VENDORS)
        if self.backend is not None and self.backend not in backends:
            raise BadQuestionError("backend", self.backend, f"one of {', '.join(backends)}")
        if self.precision is not None and self.precision not in PRECISIONS:
            raise BadQuestionError("precision", self.precision, f"one of {', '.join(PRECISIONS)}")
        if isinstance(self.device, Device) and self.device.status == "asked":
            check_specs(self.device)


Spec = Annotated[
    float, Meta(ge=1e-3, le=1e9, description="spec of an unlisted device, 1e-3 to 1e9")
]


class UnlistedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters that describe a device the table lacks, by its data sheet."""

    device_kind: Annotated[
        Kind | None, Meta(description="kind of an unlisted device: cpu, gpu, npu or soc")
    ] = None
    tdp_w: Spec | None = None
    peak_fp32_tflops: Spec | None = None
    peak_fp16_tflops: Spec | None = None
    peak_int8_tops: Spec | None = None
    memory_bandwidth_gbs: Spec | None = None
    memory_gb: Spec | None = None


class Parameter(NamedTuple):
    """One parameter of the question.

    Attributes:
        type: Of a value that is given: str, float, int or a Literal.
        annotation: With the range, as msgspec reads it; includes None where it may be left out.
        default: `msgspec.NODEFAULT` where it is required.
    """

    name: str
    type: Any
    annotation: Any
    default: Any
    meta: Meta

    @property
    def required(self) -> bool:
        """Whether a question must have it."""
        return self.default is msgspec.NODEFAULT


@functools.cache
def parameters() -> dict[str, Parameter]:
    """Every parameter by name, in the order of their declaration."""
    found = {}
    for struct in (Query, UnlistedDevice):
        hints = get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            hint = hints[field.name]
            kind, meta = _unwrapped(hint)
            if field.name == "device":  # by name; one given by its specs is an `UnlistedDevice`
                kind, hint = str, Annotated[str | None, meta]
            found[field.name] = Parameter(field.name, kind, hint, field.default, meta)
    return found


def _unwrapped(hint: Any) -> tuple[Any, Meta]:
    """The type of a given value, and the declaration, of an annotation."""
    metas = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Meta)]
    inner = hint.__origin__ if get_origin(hint) is Annotated else hint
    if get_origin(inner) in (Union, types.UnionType):
        inner = next(member for member in get_args(inner) if member is not type(None))
    if get_origin(inner) is Annotated:
        metas += [each for each in inner.__metadata__ if isinstance(each, Meta)]
        inner = inner.__origin__
    return inner, metas[0]


@functools.cache
def _declared() -> type[msgspec.Struct]:
    """A record of the fields of `Query` but `device`, with their ranges and choices."""
    names = [name for name in Query.__struct_fields__ if name != "device"]
    fields = [(name, parameters()[name].annotation) for name in names]
    return msgspec.defstruct("Declared", fields)


@functools.cache
def _flat() -> type[msgspec.Struct]:
    """A record of all parameters by their flat names."""
    fields: list[Any] = [
        (each.name, each.annotation)
        if each.required
        else (each.name, each.annotation, each.default)
        for each in parameters().values()
    ]
    return msgspec.defstruct("Question", fields, frozen=True)


def query_of(given: Mapping[str, Any]) -> Query:
    """The question that flat parameters ask; texts are read as the numbers they hold.

    Raises:
        BadQuestionError: Names the parameter that is missing or does not fit.
    """
    try:
        flat = msgspec.structs.asdict(msgspec.convert(dict(given), _flat(), strict=False))
    except msgspec.ValidationError as error:
        raise _refusal(given, str(error)) from error
    device = device_of(flat)
    asked = {name: flat[name] for name in Query.__struct_fields__}
    return Query(**asked | {"device": device})


def _refusal(given: Mapping[str, Any], words: str) -> BadQuestionError:
    """The decoder's words about a parameter as ours."""
    name = words.rpartition("`$.")[2] if "`$." in words else words.partition("field `")[2]
    name = name.rstrip("`")
    allowed = parameters()[name].meta.description or words
    if name not in given:
        return BadQuestionError(name, None, f"it is required: {allowed}")
    return BadQuestionError(name, given[name], allowed)


def device_of(given: Mapping[str, Any]) -> str | Device | None:
    """The device that flat parameters mean: a name, one made of its specs, or any.

    Without a kind a dense tensor rate implies a GPU; the device in the answer says so.

    Args:
        given: ``device`` and the parameters of `UnlistedDevice`, as far as they are there.

    Raises:
        BadQuestionError: A name came together with specs, or specs came without a kind.
        ImplausibleSpecError: No device of the kind has such a spec.
    """
    name, kind = given.get("device"), given.get("device_kind")
    specs: dict[str, Any] = {each: given.get(each) for each in UnlistedDevice.__struct_fields__}
    del specs["device_kind"]
    specs["bandwidth_gbs"] = specs.pop("memory_bandwidth_gbs")
    specs = {spec: value for spec, value in specs.items() if value is not None}
    if kind is None and not specs:
        return name
    if name is not None:
        raise BadQuestionError(
            "device", name, "give a device by name or by its specs (device_kind ...), not both"
        )
    source = None
    if kind is None and "peak_fp16_tflops" in specs:
        kind, source = "gpu", "kind not stated; taken for a gpu, as it has a dense fp16 tensor rate"
    if kind is None:
        allowed = "specs need it: cpu, gpu, npu or soc (gpu where peak_fp16_tflops is stated)"
        raise BadQuestionError("device_kind", None, allowed)
    made = Device(name=AS_SPECIFIED, kind=kind, status="asked", source=source, **specs)
    check_specs(made)
    return made
