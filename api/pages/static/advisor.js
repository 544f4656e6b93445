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
      form.elements.device.placeholder = page.querySelector("[name=device]").placeholder;
      form.elements.language.options[0].text = page.querySelector("[name=language] option").text;
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
  // A machine's name is asked once it is whole: chosen from the list, or left.
  const unfinished = ({ type, target }) =>
    type === "input" && target.list && target.value && ![...target.list.options].some(({ value }) => value === target.value);
  for (const type of ["input", "change"]) {
    form.addEventListener(type, (event) => {
      if (type === "change" && !event.target.list) return;
      clearTimeout(timer);
      if (!unfinished(event)) timer = setTimeout(ask, 250);
    });
  }
  form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); ask(); });
})();
