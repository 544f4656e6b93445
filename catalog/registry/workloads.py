"""Workloads the calibration suite can measure, each pinned by revision or SHA-256.

Workloads that only published figures name are in `catalog/reference/workloads.csv`.
"""

from __future__ import annotations

from catalog.records import Workload

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
