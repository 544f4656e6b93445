"""Tasks and the workload each one is answered from by default."""

from __future__ import annotations

DEFAULT_WORKLOAD: dict[str, str] = {
    "sentiment": "sst2",
    "topic": "agnews",
    "intent": "banking77",
    "emotion": "tweeteval_emotion",
    "offensive-language": "germeval2018",
}
"""The workload a task is answered from unless the question names one."""
