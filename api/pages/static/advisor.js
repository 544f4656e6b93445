"use strict";
// Asks again whenever the sentence changes. Without this file the button does the same.
(() => {
  const form = document.getElementById("question");
  const said = document.getElementById("said");
  let pending, timer;

  async function ask() {
    if (!form.checkValidity()) return;
    const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim() !== ""));
    if (asked.get("scenario") !== "server") asked.delete("rate");
    pending?.abort();
    pending = new AbortController();
    const before = document.getElementById("answer");
    before.classList.add("waiting");
    try {
      const response = await fetch(`/?${asked}`, { signal: pending.signal, headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const answer = page.getElementById("answer");
      if (!answer) throw new Error("no answer came");
      before.replaceWith(document.adoptNode(answer));
      // The empty entry says whether it means any device or the one specified below.
      const first = "#question select[name=device] option";
      form.querySelector(first).text = page.querySelector(first).text;
      history.replaceState(null, "", `/?${asked}`);
      const words = answer.querySelectorAll(".verdict, .figures > :first-child, .trouble");
      said.textContent = [...words].map((part) => part.textContent.replace(/\s+/g, " ").trim()).join(". ");
    } catch (error) {
      if (error.name === "AbortError") return;
      before.classList.remove("waiting");
      form.classList.remove("live");
      said.textContent = "The service did not answer; try the button.";
    }
  }

  form.classList.add("live");
  form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 250); });
  form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); ask(); });
})();
