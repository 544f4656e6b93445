"""Our classifiers against the plain libraries, as ratios within one run.

    python benchmarks/bench_classifiers.py

Five repeats in turn of the same work on the same texts at the same batch: our frozen encoder with
its head against ``SentenceTransformer.encode`` and the same head; our TF-IDF against plain
scikit-learn. The weights are those of the test dependency that carries MiniLM.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]
from reference_run import checkpoints  # noqa: E402

from calibration.classifiers import build  # noqa: E402
from calibration.measurement.windows import batches  # noqa: E402
from calibration.workloads.load import load  # noqa: E402
from catalog import reference_data  # noqa: E402
from catalog.registry.candidates import MINILM  # noqa: E402

REPEATS, BATCH, MOST_TEXTS = 5, 32, 640
LIMIT = 1.1
"""Most that ours may take of the plain library's time."""
Work = Callable[[], object]


def in_turn(ours: Work, plain: Work) -> tuple[float, float, float]:
    """Median seconds of both, run in turn after a warm-up, and the median of their ratios."""
    ours(), plain()
    times = []
    for _ in range(REPEATS):
        marks = [time.perf_counter()]
        for work in (ours, plain):
            work()
            marks.append(time.perf_counter())
        times.append((marks[1] - marks[0], marks[2] - marks[1]))
    first, second = zip(*times, strict=True)
    ratio = statistics.median(a / b for a, b in times)
    return statistics.median(first), statistics.median(second), ratio


def main() -> None:
    """Prints the table; ends with 1 where a ratio is above `LIMIT`."""
    from sentence_transformers import SentenceTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, known = load("synthetic", None, reference_data.workloads()), reference_data.candidates()
    calls = batches(texts.test[:MOST_TEXTS], BATCH, by_length=True)
    models = checkpoints()

    frozen = build.build(known["minilm-l6-frozen-logistic"], "cpu", models, texts)
    frozen.fit(texts.train[:200], texts.train_labels[:200])
    encoder, head = SentenceTransformer(str(models / MINILM), device="cpu"), frozen[-1]

    def encoded() -> None:
        for call in calls:
            head.predict(encoder.encode(call, batch_size=BATCH, show_progress_bar=False))

    sparse = build.build(known["tfidf-word-logistic"], "cpu", None, texts)
    sparse.fit(texts.train, texts.train_labels)
    plain = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    plain.fit(texts.train, texts.train_labels)

    print("| ours | ms | against | ms | ratio |\n|---|---:|---|---:|---:|")
    ratios = []
    for name, against, ours, other in (
        (
            "frozen MiniLM, logistic head",
            "SentenceTransformer.encode, same head",
            lambda: [frozen.predict(call) for call in calls],
            encoded,
        ),
        (
            "TF-IDF, logistic head",
            "scikit-learn",
            lambda: [sparse.predict(call) for call in calls],
            lambda: [plain.predict(call) for call in calls],
        ),
    ):
        first, second, ratio = in_turn(ours, other)
        ratios.append(ratio)
        print(f"| {name} | {1e3 * first:.4g} | {against} | {1e3 * second:.4g} | {ratio:.3f} |")
    sys.exit(max(ratios) > LIMIT)


if __name__ == "__main__":
    main()
