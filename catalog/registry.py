"""The declarations: every candidate and workload the calibration suite can run.

One entry each, pinned by revision; adding one is a line here and at most one branch in
`calibration.candidates`. Names that only published figures use stand in
`catalog/reference/*.csv`; an entry here wins over one there.
"""

from __future__ import annotations

from catalog.records import Candidate, Workload

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
MPNET = "sentence-transformers/paraphrase-multilingual-mpnet-base-v2"

WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="sst2",
        task="sentiment",
        dataset="Stanford Sentiment Treebank, binary, whole sentences",
        revision="sha256:f3f3c616f907efca0ac676003797473c94d2fb33162aca1eac805211f92e2d00",
        language="en",
        n_classes=2,
        n_train=6920,
        n_test=1821,
        citation="Socher et al. 2013 (EMNLP)",
    ),
    Workload(
        name="agnews",
        task="topic",
        dataset="fancyzhx/ag_news",
        revision="eb185aade064a813bc0b7f42de02595523103ca4",
        language="en",
        n_classes=4,
        n_train=4999,
        n_test=7600,
        citation="Zhang, Zhao, LeCun 2015 (NIPS)",
    ),
    Workload(
        name="banking77",
        task="intent",
        dataset="mteb/banking77",
        revision="0fd18e25b25c072e09e0d92ab615fda904d66300",
        language="en",
        n_classes=77,
        n_train=10003,
        n_test=3080,
        licence="CC-BY-4.0",
        citation="Casanueva et al. 2020 (NLP4ConvAI)",
    ),
    Workload(
        name="tweeteval_emotion",
        task="emotion",
        dataset="TweetEval emotion (cardiffnlp/tweeteval)",
        revision="sha256:4ab977551ac3d0ac2db37caad4d7056b03759ad7a77876d9fa08f0786e11b517",
        language="en",
        n_classes=4,
        n_train=3257,
        n_test=1421,
        citation="Barbieri et al. 2020 (Findings of EMNLP)",
    ),
    Workload(
        name="germeval2018",
        task="offensive-language",
        dataset="GermEval 2018 task 1 (uds-lsv/GermEval-2018-Data)",
        revision="sha256:cea4bda51e1a322b99aa9ba23776e718c37000aea11ebab1c6f2afd8f8264bbb",
        language="de",
        n_classes=2,
        n_train=5009,
        n_test=3532,
        licence="CC-BY-4.0",
        citation="Wiegand, Siegel, Ruppenhofer 2018 (GermEval)",
    ),
    Workload(
        name="synthetic",
        task="synthetic",
        dataset="written by joulewise from a seed; answers no real task",
        revision="1",
        language="en",
        n_classes=4,
        n_train=2000,
        n_test=1000,
    ),
)

DEFAULT_WORKLOAD: dict[str, str] = {
    "sentiment": "sst2",
    "topic": "agnews",
    "intent": "banking77",
    "emotion": "tweeteval_emotion",
    "offensive-language": "germeval2018",
}
"""The workload a task is answered from unless the question names one."""


def _linear_and_trees(features: str, family: str, **shared: object) -> list[Candidate]:
    """The heads that go on sparse counts."""
    heads = ("logistic", "linear-svm", "complement-nb", "lightgbm")
    return [
        Candidate(
            name=f"{features}-{head}",
            family=family,  # type: ignore[arg-type]
            features=features,
            head=head,
            licence="Apache-2.0",
            runnable=True,
            **shared,  # type: ignore[arg-type]
        )
        for head in heads
    ]


CANDIDATES: tuple[Candidate, ...] = (
    *_linear_and_trees("bow", "bag-of-words"),
    *_linear_and_trees("tfidf-word", "tf-idf"),
    *_linear_and_trees("tfidf-char", "tf-idf"),
    Candidate(
        name="minilm-l6-frozen-logistic",
        family="frozen-encoder",
        features="frozen",
        head="logistic",
        checkpoint=MINILM,
        revision=MINILM_REVISION,
        n_parameters=22_713_216,
        languages=("en",),
        licence="Apache-2.0",
        runnable=True,
    ),
)
"""Every candidate the suite can run, in a stable order."""
