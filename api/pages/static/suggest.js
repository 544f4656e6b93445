"use strict";
// Fills the list under a field while somebody types, and copies what a button names.
(() => {
  document.documentElement.classList.add("script");
  let pending, timer;

  async function suggest(field) {
    pending?.abort();
    pending = new AbortController();
    try {
      const asked = new URLSearchParams({ q: field.value });
      const response = await fetch(`/suggest/${field.dataset.suggest}?${asked}`, { signal: pending.signal });
      if (!response.ok) return;
      const options = (await response.json()).map(({ name, about }) => new Option(about, name));
      field.list.replaceChildren(...options);
      field.dispatchEvent(new CustomEvent("suggested", { bubbles: true }));
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  }

  document.addEventListener("input", ({ target }) => {
    if (!target.dataset?.suggest) return;
    clearTimeout(timer);
    timer = setTimeout(() => suggest(target), 120);
  });

  document.addEventListener("click", async ({ target }) => {
    const from = target.dataset?.copy && document.getElementById(target.dataset.copy);
    if (!from) return;
    try {
      await navigator.clipboard.writeText(from.textContent);
      target.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(from);
      target.textContent = "Selected: copy it with the keyboard";
    }
  });
})();
