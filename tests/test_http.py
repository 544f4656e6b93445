"""The service over HTTP: answers, lists, writes and every error it can give."""

from __future__ import annotations

import base64
import hashlib
import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, get_args

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from advisor.recommend.records import Reason
from api.main import create_app
from api.pages import wording
from api.service import tokens
from api.service.settings import Settings
from catalog.errors import CatalogUnreadableError
from catalog.records import Basis, Label, Scenario, Scope
from catalog.store.database import Store
from catalog.store.tables import token

Client = TestClient[Litestar]
Csv = Callable[..., bytes]
ASK = {"task": "sentiment", "min_acc": "0.85"}


def ask(client: Client, **more: str) -> dict[str, Any]:
    """A recommendation that must be there."""
    answer = client.get("/recommend", params=ASK | more)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """A problem details body of the expected status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


def test_recommend_answers_with_energy_basis_and_source(client: Client) -> None:
    """The chosen option meets the floor and says where its figures come from."""
    body = ask(client)
    assert body["chosen"]["accuracy"]["value"] >= 0.85
    assert body["chosen"]["energy_j_per_1000"]["basis"]
    assert body["chosen"]["provenance"]["source"]
    assert set(body["group"]) == {"workload", "scenario", "scope", "rate_per_s"}
    assert len(body["catalog_digest"]) == 64
    assert body["estimator_version"]


def test_same_question_same_bytes(client: Client) -> None:
    """An answer is a function of catalog, estimator and question."""
    first, second = (client.get("/recommend", params=ASK) for _ in range(2))
    assert first.content == second.content


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"min_acc": "abc"}, "min_acc"),
        ({"min_acc": "1.5"}, "min_acc"),
        ({"min_acc": "nan"}, "min_acc"),
        ({"min_acc": ""}, "min_acc"),
        ({"scope": "galaxy"}, "scope"),
        ({"scenario": "unstated"}, "scenario"),
        ({"limit": "0"}, "limit"),
        ({"confidence": "1"}, "confidence"),
        ({"max_latency_ms": "-3"}, "max_latency_ms"),
        ({"min_accuracy": "0.9"}, "min_accuracy"),
        ({"device": "NVIDIA A30", "tdp_w": "100"}, "device"),
        ({"tdp_w": "100"}, "device_kind"),
        ({"device_kind": "gpu", "tdp_w": "-1"}, "tdp_w"),
        ({"workload": "agnews"}, "workload"),
    ],
)
def test_bad_value_is_a_400_that_names_the_field(
    client: Client, changes: dict[str, str], field: str
) -> None:
    """What came and what is allowed stand beside the field."""
    body = problem(client.get("/recommend", params=ASK | changes), 400)
    assert body["field"] == field
    assert body["allowed"]
    assert all(isinstance(each, str) for each in body["allowed"])
    assert field in body["detail"]


def test_unknown_parameter_lists_the_allowed_ones(client: Client) -> None:
    """A misspelt parameter is never ignored, and nothing internal is listed."""
    body = problem(client.get("/recommend", params=ASK | {"min_accuracy": "0.9"}), 400)
    assert body["came"] == "0.9"
    assert "min_acc" in body["allowed"]
    assert not {"question", "now", "served"} & set(body["allowed"])


def test_missing_and_repeated_parameters(client: Client) -> None:
    """A required parameter that is missing is named; one that came twice is refused."""
    assert problem(client.get("/recommend?min_acc=0.5"), 400)["field"] == "task"
    twice = client.get("/recommend?task=sentiment&min_acc=0.5&min_acc=0.9")
    assert problem(twice, 400)["field"] == "min_acc"


@pytest.mark.parametrize(
    ("path", "kind", "nearest"),
    [
        ("/recommend?task=sentimant&min_acc=0.5", "task", "sentiment"),
        ("/recommend?task=sentiment&min_acc=0.5&device=NVIDIA%20A3O", "device", "NVIDIA A30"),
        ("/recommend?task=sentiment&min_acc=0.5&workload=sst3", "workload", "sst2"),
        ("/measurements?candidate=tfidf-word-logistics", "candidate", "tfidf-word-logistic"),
        ("/workloads?task=topik", "task", "topic"),
    ],
)
def test_unknown_name_is_a_404_with_the_nearest(
    client: Client, path: str, kind: str, nearest: str
) -> None:
    """A typing error gets the name that was meant."""
    body = problem(client.get(path), 404)
    assert body["field"] == kind
    assert nearest in body["nearest"]


def test_unlisted_device_by_its_specs(client: Client) -> None:
    """Specs stand for a device nobody listed; its energy is never called measured."""
    body = ask(
        client,
        device_kind="gpu",
        tdp_w="150",
        peak_fp16_tflops="100",
        memory_gb="24",
        memory_bandwidth_gbs="600",
        min_acc="0.5",
    )
    assert body["query"]["device"]["bandwidth_gbs"] == 600
    assert body["chosen"]["energy_j_per_1000"]["basis"] != "measured"


@pytest.mark.parametrize("task", ["sentiment", "topic", "emotion"])
def test_three_specs_are_enough_and_their_answer_says_what_it_is(client: Client, task: str) -> None:
    """TDP, tensor rate and bandwidth: all is estimated, with the warning that says why."""
    specs = {"tdp_w": "300", "peak_fp16_tflops": "200", "memory_bandwidth_gbs": "900"}
    body = ask(client, task=task, min_acc="0.4", **specs)
    device = body["query"]["device"]
    assert (device["kind"], device["tdp_w"], device["bandwidth_gbs"]) == ("gpu", 300, 900)
    assert "kind not stated" in device["source"]
    for option in (body["chosen"], *body["alternatives"]):
        joules = option["energy_j_per_1000"]
        assert joules["basis"] in ("extrapolated", "estimated", "estimated-runtime")
        assert joules["low"] < joules["value"] < joules["high"]
        assert joules["label"] == "estimated"
        assert "device-not-calibrated" in option["warnings"]
        assert ("energy-extrapolated" in option["warnings"]) == (joules["basis"] == "extrapolated")
    codes = {caution["code"] for caution in body["warnings"]}
    assert "device-not-calibrated" in codes
    assert "device-specs-assumed" not in codes


def test_a_device_of_unknown_power_is_extrapolated(client: Client) -> None:
    """Without a TDP a median stands in: never less than an extrapolation, and it says so."""
    body = ask(client, peak_fp16_tflops="200", memory_bandwidth_gbs="900")
    assert body["chosen"]["energy_j_per_1000"]["basis"] == "extrapolated"
    assert "device-specs-assumed" in {caution["code"] for caution in body["warnings"]}


def test_a_rate_is_answered_from_what_was_posted(
    client: Client, writer: dict[str, str], run_csv: Csv
) -> None:
    """100 J and 2 s for 1,000 texts, 20 W idle, 4 texts a second: 100 + 20 x (250 - 2) J."""
    single = {"scenario": "single", "batch_size": "1", "idle_resident_w": "20"}
    sent = client.post("/measurements", content=run_csv(single), headers=writer)
    assert sent.status_code == 201, sent.text
    asked = {"workload": "sst2", "device": "NVIDIA A30", "scenario": "server"}
    body = ask(client, rate="4", **asked)
    assert body["group"]["rate_per_s"] == 4
    assert body["chosen"]["candidate"] == "tfidf-word-logistic"
    joules = body["chosen"]["energy_j_per_1000"]
    assert joules["value"] == pytest.approx(100 + 20 * 248)
    assert joules["basis"] == "estimated"
    assert "rate-worked-out" in {caution["code"] for caution in body["warnings"]}
    fast = ask(client, rate="1000000", limit="1000", **asked)
    slow = {entry["candidate"]: entry["reason"] for entry in fast["rejected"]}
    assert slow["tfidf-word-logistic"] == "cannot-keep-up"


def test_a_measurement_beats_the_estimate_of_its_setup(
    client: Client, writer: dict[str, str], run_csv: Csv
) -> None:
    """Where a meter was read nothing is estimated; a tie is said to be one."""
    unread = {
        name: "" for part in ("gpu", "cpu", "dram") for name in (f"{part}_j", f"{part}_label")
    }
    wide = {"cv": "0.1", "accuracy": "0.92", "gpu_j": "6", "cpu_j": "4", "dram_j": "2"}
    rows = (
        {**wide, "run_id": "lab-1"},
        {**wide, "run_id": "lab-2", "host": "another node", **unread},
        {**wide, "run_id": "lab-3", "candidate": "bow-complement-nb", "gpu_j": "7"},
    )
    for row in rows:
        sent = client.post("/measurements", content=run_csv(row), headers=writer)
        assert sent.status_code == 201, sent.text
    asked = {"workload": "sst2", "device": "NVIDIA A30", "min_acc": "0.9"}
    body = ask(client, **asked)
    own = [
        option["energy_j_per_1000"]["basis"]
        for option in (body["chosen"], *body["alternatives"])
        if option["candidate"] == "tfidf-word-logistic"
    ]
    assert own == ["measured"]
    tie = [caution for caution in body["warnings"] if caution["code"] == "tie"]
    assert "bow-complement-nb (measured)" in tie[0]["message"]


@pytest.mark.parametrize("path", ["/tasks", "/workloads", "/devices", "/candidates"])
def test_paging_meets_every_entry_once(client: Client, path: str) -> None:
    """Small pages give what one large page gives."""
    whole = walk(client, path, 1000)
    assert walk(client, path, 97) == whole
    assert len(whole) > 10


def walk(client: Client, path: str, limit: int) -> list[Any]:
    """All items of a list, page by page."""
    items, cursor = [], None
    while True:
        given = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        body = client.get(path, params=given).json()
        assert len(body["items"]) <= limit
        items += body["items"]
        if (cursor := body["next"]) is None:
            return items


def test_paging_measurements_meets_every_row_once(client: Client) -> None:
    """Filters and cursors work together."""
    path = "/measurements?task=sentiment"
    rows = []
    cursor = ""
    while cursor is not None:
        body = client.get(f"{path}&limit=30{f'&cursor={cursor}' if cursor else ''}").json()
        rows += body["items"]
        cursor = body["next"]
    whole = client.get(f"{path}&limit=1000").json()["items"]
    assert rows == whole
    assert len(rows) > 30


def test_foreign_cursor_is_a_400(client: Client) -> None:
    """A cursor nobody gave out is refused."""
    for cursor in ("x", "YXQ6LTE=", "%C3%A4"):
        assert problem(client.get(f"/tasks?cursor={cursor}"), 400)["field"] == "cursor"


def test_a_cursor_beyond_the_end_is_the_end(client: Client) -> None:
    """However far, and with every filter, there is nothing more; an odd precision is named."""
    for place in (10**6, 2**63, 10**30):
        cursor = base64.urlsafe_b64encode(f"at:{place}".encode()).decode()
        for more in ("", "&current=true", "&current=false", "&device=NVIDIA+A30"):
            body = client.get(f"/measurements?cursor={cursor}{more}").json()
            assert body == {"items": [], "next": None}
    assert problem(client.get("/measurements?precision=%00"), 404)["field"] == "precision"


def test_measurements_carry_their_key_and_labels(client: Client) -> None:
    """Every row has the fields of its key, missing ones as null, and labelled joules."""
    for row in client.get("/measurements?limit=200").json()["items"]:
        assert {"candidate", "workload", "device", "phase", "scenario", "precision"} <= row.keys()
        for name in ("gpu", "cpu", "dram", "board", "wall", "npu"):
            assert (f"{name}_j" in row) == (f"{name}_label" in row)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_export_goes_into_another_catalog(
    client: Client, new_url: Callable[[], str], writer: dict[str, str], run_csv: Csv, form: str
) -> None:
    """An exported run file, unknown device included, is read by a catalog that never saw it."""
    row = {"device": "Lab GPU", "device_kind": "gpu", "device_tdp_w": "200"}
    assert client.post("/measurements", content=run_csv(row), headers=writer).status_code == 201
    exported = client.get("/measurements", params={"source": "lab", "format": form})
    assert exported.status_code == 200
    other = Store(new_url())
    types = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
    with TestClient(create_app(Settings(catalog=other.url))) as second:
        headers = {"Authorization": f"Bearer {tokens.create(other)}", "Content-Type": types[form]}
        done = second.post("/measurements", content=exported.content, headers=headers)
        assert done.status_code == 201, done.text
        assert done.json()["inserted"] == 1
        assert second.get("/measurements?device=Lab%20GPU").json()["items"][0]["gpu_j"] == 60
    other.engine.dispose()


def test_bundled_rows_are_present_already(client: Client, writer: dict[str, str]) -> None:
    """Sending the export of everything back stores nothing."""
    exported = client.get("/measurements", params={"format": "csv"}).content
    done = client.post("/measurements", content=exported, headers=writer).json()
    assert done["inserted"] == 0
    assert done["present"] == exported.count(b"\n") - 1 or done["present"] > 1000


def test_posted_rows_are_served_at_once_and_move_the_answer(
    client: Client, writer: dict[str, str], run_csv: Csv
) -> None:
    """A cheaper measured setup becomes the answer without a restart."""
    before = ask(client, device="NVIDIA A30")
    cheap = run_csv({"gpu_j": "6", "cpu_j": "3", "dram_j": "1"})
    done = client.post("/measurements", content=cheap, headers=writer)
    assert done.status_code == 201
    assert done.json() == {"run_ids": ["lab-1"], "inserted": 1, "present": 0}
    after = ask(client, device="NVIDIA A30", basis="measured")
    assert after["catalog_digest"] != before["catalog_digest"]
    assert after["chosen"]["candidate"] == "tfidf-word-logistic"
    assert after["chosen"]["energy_j_per_1000"]["value"] == pytest.approx(10)
    assert after["chosen"]["provenance"]["source"] == "lab"


def test_posting_twice_stores_once(client: Client, writer: dict[str, str], run_csv: Csv) -> None:
    """The same run file again changes nothing, not even the digest."""
    client.post("/measurements", content=run_csv(), headers=writer)
    digest = client.get("/health/ready").json()["catalog_digest"]
    again = client.post("/measurements", content=run_csv(), headers=writer)
    assert again.status_code == 201
    assert again.json() == {"run_ids": ["lab-1"], "inserted": 0, "present": 1}
    assert client.get("/health/ready").json()["catalog_digest"] == digest


BAD_ACCURACIES = (
    b"candidate,workload,regime,samples_per_label,source,accuracy,n_test\n"
    b"minilm-l6-frozen-logistic,banking77,full,,team,91.3,3080\n"
    b"minilm-l6-frozen-logistic,banking78,full,,team,0.9,3080\n"
    b"tfidf-word-logistic,banking77,full,,team,0.9,0\n"
    b"tfidf-word-logistic,banking77,zero-shot,,team,0.9,3080\n"
    b"tfidf-word-linear-svm,banking77,full,,team,0.9,3080\n"
    b"tfidf-word-linear-svm,banking77,full,,team,0.91,3080\n"
)


def test_bad_accuracies_are_one_message_and_store_nothing(
    client: Client, writer: dict[str, str]
) -> None:
    """Percent for a share, an unknown workload, no test texts, a wrong regime, a contradiction."""
    digest = client.get("/health/ready").json()["catalog_digest"]
    refused = client.post("/measurements", content=BAD_ACCURACIES, headers=writer)
    assert refused.status_code == 422
    faults = next(value for value in refused.json().values() if isinstance(value, list))
    assert [(fault["row"], fault["column"]) for fault in faults] == [
        (1, "accuracy"),
        (2, "workload"),
        (3, "n_test"),
        (4, "regime"),
        (6, "accuracy"),
    ]
    assert "0.91 contradicts 0.9 of row 5" in refused.text
    assert client.get("/health/ready").json()["catalog_digest"] == digest


def test_accuracies_alone_are_stored_listed_and_answer(
    client: Client, writer: dict[str, str]
) -> None:
    """A team's own figures make an option of a candidate, and a second value is a 409."""
    head = b"candidate,workload,workload_task,workload_language,regime,source,accuracy,n_test\n"
    rows = b"minilm-l6-finetuned,reviews,sentiment,en,full,team,0.93,2000\n"
    rows += b"tfidf-word-logistic,reviews,sentiment,en,full,team,0.88,2000\n"
    done = client.post("/measurements", content=head + rows, headers=writer)
    assert (done.status_code, done.json()["accuracies"]) == (201, 2)
    found = client.get("/accuracies", params={"workload": "reviews"}).json()["items"]
    assert {(row["candidate"], row["accuracy"]) for row in found} == {
        ("minilm-l6-finetuned", 0.93),
        ("tfidf-word-logistic", 0.88),
    }
    asked = {"task": "sentiment", "workload": "reviews", "min_acc": 0.9}
    chosen = client.get("/recommend", params=asked | {"device": "NVIDIA T4"}).json()["chosen"]
    assert chosen["candidate"] == "minilm-l6-finetuned"
    assert chosen["accuracy"]["source"] == "team"
    changed = client.post(
        "/measurements", content=(head + rows).replace(b"0.93", b"0.95"), headers=writer
    )
    assert changed.status_code == 409
    assert "column 'accuracy': 0.95 here, 0.93 before" in changed.text


def test_accuracies_are_paged_filtered_and_files(client: Client) -> None:
    """The list walks without loss; files hold every result; values come with intervals."""
    asked = {"task": "intent", "workload": "banking77"}
    whole = client.get("/accuracies", params=asked | {"limit": 1000}).json()["items"]
    assert len(whole) > 250
    items: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        body = client.get("/accuracies", params=asked | {"limit": 90} | cursor).json()
        items += body["items"]
        if body["next"] is None:
            break
        cursor = {"cursor": body["next"]}
    assert items == whole
    text = client.get("/accuracies", params=asked | {"format": "csv"}).text
    assert text.count("mteb_classification.csv.gz:") >= 223
    values = client.get("/accuracies", params=asked | {"evidence": True, "regime": "zero-shot"})
    first = values.json()["items"][0]
    assert first["low"] < first["value"] < first["high"]
    assert client.get("/accuracies", params={"task": "nothing"}).status_code == 404


def test_changed_row_is_a_409(client: Client, writer: dict[str, str], run_csv: Csv) -> None:
    """The same key with other content is a conflict, and nothing of the file is stored."""
    client.post("/measurements", content=run_csv(), headers=writer)
    changed = run_csv({"gpu_j": "61"}, {"run_id": "lab-2"})
    body = problem(client.post("/measurements", content=changed, headers=writer), 409)
    assert "lab-1" in body["detail"]
    assert len(client.get("/measurements?source=lab").json()["items"]) == 1


def test_content_off_the_schema_is_a_422_naming_row_and_column(
    client: Client, writer: dict[str, str], run_csv: Csv
) -> None:
    """Every fault is told at once and nothing is stored."""
    content = run_csv({"accuracy": "1.4"}, {"run_id": "b", "gpu_j": "-1"}, {"run_id": "c"})
    body = problem(client.post("/measurements", content=content, headers=writer), 422)
    found = {(fault["row"], fault["column"]) for fault in body["problems"]}
    assert {(1, "accuracy"), (2, "gpu_j")} <= found
    sources = {row["source"] for row in client.get("/measurements?limit=1000").json()["items"]}
    assert "lab" not in sources


def test_writing_needs_a_token(client: Client, store: Store, run_csv: Csv) -> None:
    """No token or an unknown one is a 401, one without the scope a 403; nothing is stored."""
    for header in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}):
        answer = client.post("/measurements", content=run_csv(), headers=header)
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    reader = {"Authorization": f"Bearer {tokens.create(store, 'read')}"}
    problem(client.post("/measurements", content=run_csv(), headers=reader), 403)


def test_revoked_token_is_a_401(
    client: Client, store: Store, writer: dict[str, str], run_csv: Csv
) -> None:
    """A revoked token writes no more."""
    with store.engine.begin() as connection:
        connection.execute(token.update().values(revoked_at="2026-01-01"))
    problem(client.post("/measurements", content=run_csv(), headers=writer), 401)


def test_tokens_are_kept_as_hashes(store: Store) -> None:
    """The database holds the hash of a token and not the token."""
    secret = tokens.create(store)
    with store.engine.connect() as connection:
        (row,) = connection.execute(token.select()).all()
    assert row.hash == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(tuple(row))


def test_token_hashes_of_the_environment_may_write(store: Store, run_csv: Csv) -> None:
    """JOULEWISE_TOKENS takes hashes, and refuses what is none."""
    digest = hashlib.sha256(b"secret").hexdigest()
    headers = {"Authorization": "Bearer secret", "Content-Type": "text/csv"}
    settings = Settings(catalog=store.url, tokens=(digest,))
    with TestClient(create_app(settings)) as client:
        done = client.post("/measurements", content=run_csv(), headers=headers)
    assert done.status_code == 201
    with pytest.raises(ValueError, match="SHA-256"):
        Settings(tokens="secret")  # type: ignore[arg-type]


def test_media_type_and_size_are_checked(
    client: Client, writer: dict[str, str], run_csv: Csv
) -> None:
    """An unread content type is a 415 that lists the read ones; too much is a 413."""
    body = problem(
        client.post("/measurements", content=b"{}", headers=writer | {"Content-Type": "text/html"}),
        415,
    )
    assert "text/csv" in body["allowed"]
    problem(client.post("/measurements", content=b"x" * 6_000_000, headers=writer), 413)


def test_estimate_gives_joules_with_an_interval(client: Client) -> None:
    """A known runtime makes the basis `estimated`; without one runtime is estimated too."""
    asked = {"n_parameters": 66e6, "device": "NVIDIA A30", "runtime_s_per_1000": 4.0}
    body = client.post("/estimate", json=asked).json()
    energy = body["energy_j_per_1000"]
    assert energy["basis"] in ("estimated", "extrapolated")
    del asked["runtime_s_per_1000"]
    bare = client.post("/estimate", json=asked).json()
    assert bare["energy_j_per_1000"]["basis"] in ("estimated-runtime", "extrapolated")
    large = asked | {"n_parameters": 4e10}
    experts = large | {"n_active_parameters": 6e9}
    all_at_work, some = (client.post("/estimate", json=body).json() for body in (large, experts))
    joules = [answer["energy_j_per_1000"]["value"] for answer in (all_at_work, some)]
    assert joules[1] < joules[0]  # a token of the mixture computes less
    stated = asked | {"batch_size": 32, "tokens": 40, "precision": "fp16"}
    whole = client.post("/estimate", json=stated).json()
    for answer, assumed in ((body, True), (bare, True), (whole, False)):
        told = {own["code"]: own["message"] for own in answer["warnings"]}
        assert ("setup-assumed" in told) is assumed
    only = client.post("/estimate", json=stated | {"batch_size": None}).json()["warnings"]
    assert any(own["message"].endswith("(here: batch size)") for own in only)
    if energy["value"] == energy["high"]:
        pytest.xfail("an A30 at a stated 4 s is put at its limit, where nothing lies above")
    assert energy["low"] < energy["value"] < energy["high"]


def test_estimate_takes_specs_and_names_faults(client: Client) -> None:
    """Specs stand for a device; unknown names are 404, bad values and fields 400."""
    specs = {"kind": "gpu", "tdp_w": 70, "memory_bandwidth_gbs": 300, "peak_fp16_tflops": 65}
    body = client.post("/estimate", json={"device": specs, "n_parameters": 1e8}).json()
    assert body["device"] == "as specified"
    assert {caution["code"] for caution in body["warnings"]} >= {"device-not-calibrated"}
    problem(client.post("/estimate", json={"device": "NVIDIA A3O"}), 404)
    experts = {"n_active_parameters": 2e9, "n_parameters": 1e9}
    for wrong in ({"n_parameters": -1}, {"n_params": 3}, {"scope": "moon"}, experts):
        found = problem(client.post("/estimate", json={"device": "NVIDIA A30"} | wrong), 400)
        assert next(iter(wrong)) in str(found["field"])
    problem(client.post("/estimate", content=b"{", headers={"Content-Type": "text/json"}), 400)
    for name, spec in (("peak_int8_tops", -1), ("kind", "toaster"), ("peak_int8_tflops", 10)):
        found = problem(client.post("/estimate", json={"device": specs | {name: spec}}), 400)
        assert (found["field"], found["came"]) == (f"device.{name}", spec)
    for device in (5, None, ["gpu"]):
        found = problem(client.post("/estimate", json={"device": device}), 400)
        assert (found["field"], found["allowed"]) == ("device", ["a name or specs"])
    for body in ([1], "x", 3):
        assert problem(client.post("/estimate", json=body), 400)["field"] == "body"
    lacking = problem(client.post("/estimate", json={"device": {"tdp_w": 70}}), 400)
    assert lacking["detail"].startswith("device.kind is missing")


def test_the_8_bit_rate_of_an_unlisted_device_counts(client: Client) -> None:
    """More operations a second need less energy, for 8 bits alone; a question takes it as well."""
    specs = {"kind": "gpu", "tdp_w": 300, "memory_bandwidth_gbs": 900, "peak_fp16_tflops": 150}
    fast = specs | {"peak_int8_tops": 1200}

    def joules(device: dict[str, Any], precision: str) -> float:
        asked = {"device": device, "n_parameters": 1e9, "batch_size": 32, "tokens": 100}
        body = client.post("/estimate", json=asked | {"precision": precision}).json()
        return float(body["energy_j_per_1000"]["value"])

    assert joules(fast, "int8") < joules(specs, "int8")
    assert joules(fast, "fp16") == joules(specs, "fp16")
    asked = {"device_kind": "gpu", "tdp_w": "300", "peak_int8_tops": "1200"}
    body = client.get("/recommend", params={"task": "sentiment", "min_acc": "0.5"} | asked).json()
    assert body["query"]["device"]["peak_int8_tops"] == 1200


def test_scorecard_and_health(client: Client) -> None:
    """The estimator's errors and the service's state can be read."""
    assert client.get("/estimator").json()
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json()["status"] == "ready"


def test_unreadable_catalog_is_a_503_and_the_process_lives(tmp_path: Any) -> None:
    """Without a catalog nothing is answered, and the remedy is told."""
    (tmp_path / "catalog.sqlite").write_bytes(b"this is no database, and it is long enough")
    settings = Settings(catalog=f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/health/live").status_code == 200
        problem(client.get("/health/ready"), 503)
        assert "catalog" in problem(client.get("/recommend", params=ASK), 503)["detail"]
        assert client.get("/").status_code == 503
    app.state.served.store.engine.dispose()


def test_schema_describes_parameters(client: Client) -> None:
    """OpenAPI lists every parameter of the question, its bounds and its choices."""
    schema = client.get("/schema/openapi.json").json()
    declared = {p["name"]: p for p in schema["paths"]["/recommend"]["get"]["parameters"]}
    assert {"task", "min_acc", "scope", "device_kind", "memory_bandwidth_gbs"} <= declared.keys()
    assert {name for name, p in declared.items() if p["required"]} == {"task", "min_acc"}
    assert declared["min_acc"]["schema"]["maximum"] == 1
    assert declared["scope"]["schema"]["enum"] == ["device", "host", "wall"]


def test_the_schema_stands_where_tools_and_people_look(client: Client) -> None:
    """`/openapi.json` is the document, `/docs` leads to it; its operations have plain names."""
    found = client.get("/openapi.json")
    assert found.headers["content-type"].startswith("application/json")
    assert found.json() == client.get("/schema/openapi.json").json()
    assert client.get("/docs", follow_redirects=True).json() == found.json()
    ids = [each["operationId"] for own in found.json()["paths"].values() for each in own.values()]
    assert {"recommend", "tasks", "measurements", "add_measurements", "health_live"} <= set(ids)
    assert len(ids) == len(set(ids))
    assert all(each == each.lower() for each in ids)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/recommend?task=sentiment&min_acc=0.5&scenario=x", ["single", "offline", "server"]),
        ("/recommend?task=sentiment&min_acc=2", ["least accuracy, 0 to 1"]),
        ("/measurements?phase=lunch", ["load", "train", "inference"]),
        ("/devices?kind=x", ["cpu", "gpu", "npu", "soc"]),
        ("/tasks?limit=0", ["items per page, 1 to 1000"]),
    ],
)
def test_what_is_allowed_is_a_list(client: Client, path: str, allowed: list[str]) -> None:
    """Names one by one where there is a choice, else the sentence that says it."""
    assert problem(client.get(path), 400)["allowed"] == allowed


def test_every_example_of_the_schema_is_answered(client: Client, writer: dict[str, str]) -> None:
    """What the document shows can be sent as it stands, each parameter alone and all bodies."""
    schema = client.get("/schema/openapi.json").json()
    sent = 0
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            declared = operation.get("parameters", [])
            shown = {p["name"]: p["schema"].get("examples", []) for p in declared}
            base = {p["name"]: shown[p["name"]][0] for p in declared if p["required"]}
            asks: list[dict[str, Any]] = [base]
            asks += [base | {name: value} for name, values in shown.items() for value in values]
            bodies = _bodies(operation) or [({}, {})]
            for params, (body, headers) in itertools.product(asks, bodies):
                answer = client.request(
                    method, path, params=params, headers=writer | headers, **body
                )
                assert answer.status_code in (200, 201), (path, params, answer.text)
                sent += 1
    assert sent >= 14


def _bodies(operation: Any) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """The bodies an operation shows, as arguments of a request, with their media types."""
    found: list[tuple[dict[str, Any], dict[str, str]]] = []
    for media, entry in operation.get("requestBody", {}).get("content", {}).items():
        for example in [*entry["schema"].get("examples", []), entry.get("example")]:
            if example is not None:
                key = "content" if isinstance(example, str) else "json"
                found.append(({key: example}, {"Content-Type": media}))
    return found


def test_headers_are_on_every_response(client: Client) -> None:
    """Answers, errors and unknown paths carry the security headers."""
    for path in ("/", "/recommend", "/nothing-here", "/static/joulewise.css"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_text_of_the_catalog_is_escaped(
    client: Client, writer: dict[str, str], run_csv: Csv
) -> None:
    """Markup in a run file or in a question is shown, never run."""
    row = {
        "source": "<script>alert(1)</script>",
        "notes": "</script><b>",
        "reference": "javascript:x",
    }
    assert client.post("/measurements", content=run_csv(row), headers=writer).status_code == 201
    for path in ("/", "/?task=<script>alert(1)</script>", "/?min_acc=<script>alert(1)</script>"):
        text = client.get(path).text
        assert "<script>alert" not in text
        assert 'href="javascript' not in text


def test_a_real_service_sees_what_another_process_wrote(
    server: str, server_catalog: str, run_csv: Csv, tmp_path: Any
) -> None:
    """Granian serves; rows imported by the command line show within seconds."""
    before = httpx.get(f"{server}/health/ready").json()["catalog_digest"]
    file = tmp_path / "run.csv"
    poor = {"run_id": "elsewhere", "source": "elsewhere", "accuracy": "0.2"}  # moves no answer
    file.write_bytes(run_csv(poor))
    code = "from api.cli.main import app; app()"
    subprocess.run(
        [sys.executable, "-c", code, "catalog", "import", str(file)],
        env={"JOULEWISE_CATALOG": server_catalog},
        check=True,
        capture_output=True,
    )
    for _ in range(50):
        if httpx.get(f"{server}/health/ready").json()["catalog_digest"] != before:
            break
        time.sleep(0.1)
    assert httpx.get(f"{server}/measurements?source=elsewhere").status_code == 200


def test_base_install_answers_without_the_benchmark_stack(store: Store) -> None:
    """The service answers where torch and the other measuring libraries are not installed."""
    code = f"""
import sys
blocked = ("torch", "transformers", "pynvml", "codecarbon", "psutil", "calibration")
sys.modules.update({{name: None for name in blocked}})
from litestar.testing import TestClient
from api.main import create_app
from api.service.settings import Settings
with TestClient(create_app(Settings(catalog={store.url!r}))) as client:
    answer = client.get("/recommend?task=sentiment&min_acc=0.85")
    assert answer.status_code == 200, answer.text
heavy = {{"pandas", "sklearn", "lightgbm", "pandera", "pyarrow"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_code_of_an_answer_has_words() -> None:
    """People read words for every reason, basis, label, scope and scenario there is."""
    for codes, words in (
        (Reason, wording.REASON),
        (Basis, wording.BASIS),
        (Label, wording.LABEL),
        (Scope, wording.SCOPE),
        (Scenario, wording.SCENARIO),
    ):
        assert set(get_args(codes)) <= words.keys()


def test_page_answers_for_every_kind_of_device(client: Client) -> None:
    """The page is rendered for any device, task and scope, qualifying or not."""
    names = [device["name"] for device in client.get("/devices?limit=1000").json()["items"]]
    for name in names[::12]:
        for scope in ("device", "host", "wall"):
            given = {"task": "topic", "min_acc": "0.4", "device": name, "scope": scope}
            assert client.get("/", params=given).status_code == 200
    for task in client.get("/tasks").json()["items"]:
        given = {"task": task["name"], "min_acc": "0.99", "scenario": "single"}
        assert client.get("/", params=given).status_code == 200


def test_a_revoked_token_is_good_for_nothing(store: Store) -> None:
    """After `token revoke` the same token is answered as unknown; revoking twice says so."""
    secret = tokens.create(store)
    assert tokens.scopes_of(secret, store) == {"write"}
    assert tokens.revoke(store, secret)
    assert not tokens.revoke(store, secret)
    assert tokens.scopes_of(secret, store) == set()


def test_a_lost_token_is_revoked_by_its_id(store: Store) -> None:
    """The list shows when each was made and revoked, and no token; an id revokes that one alone."""
    assert tokens.list_tokens(store) == []
    kept, lost = tokens.create(store), tokens.create(store)
    ids = {tokens.hash_of(secret)[:16]: secret for secret in (kept, lost)}
    assert {own.id for own in tokens.list_tokens(store)} == ids.keys()
    (its_id,) = (own for own, secret in ids.items() if secret == lost)
    assert not tokens.revoke(store, its_id[:8])
    assert tokens.revoke(store, its_id)
    assert tokens.scopes_of(lost, store) == set()
    assert tokens.scopes_of(kept, store) == {"write"}
    assert {own.id for own in tokens.list_tokens(store) if own.revoked_at} == {its_id}
    assert tokens.scopes_of(its_id, store) == set()


def test_token_commands_tell_what_is_wrong_with_the_database(store: Store) -> None:
    """A database without the table of tokens is named with a remedy, not with a traceback."""
    secret = tokens.create(store)
    token.drop(store.engine)
    for use in (
        tokens.create,
        lambda s: tokens.revoke(s, secret),
        lambda s: tokens.scopes_of(secret, s),
    ):
        with pytest.raises(CatalogUnreadableError, match=r"the catalog at .* cannot be used: "):
            use(store)


@pytest.mark.parametrize("path", ["/", "/catalog", "/report", "/method", "/devices/nvidia-a30"])
def test_a_page_refuses_parameters_it_does_not_know(client: Client, path: str) -> None:
    """A misspelt parameter is never left out silently, on pages either."""
    answer = client.get(path, params={"min_accuracy": "0.9"})
    assert answer.status_code == 400
    assert "min_accuracy" in answer.text
