"""Tests of `api.service.state`: what was replaced is gone, whatever the C library is."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from advisor.recommend.query import Query
from api.service import state
from api.service.settings import Settings
from api.service.upload import store_upload
from catalog.store.database import Store


class Knot:
    """Refers to itself: only a collection frees it."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
def by_hand() -> Iterator[None]:
    """No collection but those asked for."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("by_hand")
def test_a_replaced_catalog_is_freed_at_once(any_url: str, run_csv: Callable[..., bytes]) -> None:
    """With all answers it kept, by the write that replaced it, without any collection."""
    Store(any_url).migrate()
    served = state.ServiceState(Settings(catalog=any_url, estimator=None))
    served.refresh()
    served._trim_memory = lambda: None  # type: ignore[assignment]
    for floor in (0.2, 0.8):
        served.now.advisor.recommend(Query(task="sentiment", min_acc=floor))
        served.now.advisor.encode(Query(task="sentiment", min_acc=floor))
    before = [weakref.ref(part) for part in (served.now.advisor, served.now.snapshot)]
    store_upload(served, run_csv(), "csv")
    assert [part() for part in before] == [None, None]


@pytest.mark.usefixtures("by_hand")
def test_cycles_go_with_the_next_change() -> None:
    """Young ones with the next change, those set apart alive with the next look at everything."""
    trim = state.MemoryTrimmer()
    old = Knot()
    trim()
    young = Knot()
    gone = [weakref.ref(old), weakref.ref(young)]
    del old, young
    trim()
    assert gone[0]() is not None
    assert gone[1]() is None
    trim._last_full_s -= state.FULL_COLLECTION_S
    trim()
    assert gone[0]() is None


@pytest.mark.usefixtures("by_hand")
def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where glibc is not, collections are all there is."""
    monkeypatch.setattr(state, "_glibc", lambda: None)
    state.limit_arenas()
    state.MemoryTrimmer()()
