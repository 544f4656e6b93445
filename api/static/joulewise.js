"use strict";
(() => {
  const form = document.getElementById("question");
  const said = document.getElementById("said");
  let pending, timer, plotly;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const tone = { measured: "--leaf", estimated: "--slate", "estimated-runtime": "--amber", extrapolated: "--rust" };

  function loadPlotly(src) {
    plotly ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = src;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error("plotly did not load"));
      document.head.append(script);
    });
    return plotly;
  }

  // plotly reads "<" in texts as markup; names come from the catalog, so show them as they are.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const middle = (energy) => energy.value ?? energy.high;
  const beyond = (end, from) => (end === null || end === undefined ? 0 : Math.abs(end - from));

  function trace(points, basis) {
    const x = points.map((p) => middle(p.energy));
    const y = points.map((p) => p.accuracy.value);
    const bars = (ends, centre, low, high) => ({
      type: "data", symmetric: false, thickness: 1.2, width: 3, color: colour(tone[basis]),
      array: ends.map((e, i) => beyond(e[high], centre[i])), arrayminus: ends.map((e, i) => beyond(e[low], centre[i])),
    });
    return {
      x, y, name: basis, mode: "markers", type: "scatter",
      error_x: bars(points.map((p) => p.energy), x, "low", "high"),
      error_y: bars(points.map((p) => p.accuracy), y, "low", "high"),
      marker: { color: colour(tone[basis]), size: points.map((p) => (p.chosen ? 15 : 9)), symbol: points.map((p) => (p.chosen ? "star" : p.energy.value === null ? "triangle-left" : "circle")), line: { color: colour("--sheet"), width: 1 } },
      text: points.map((p) => `${plain(p.name)}<br>${plain(p.device)}`),
      hovertemplate: "%{text}<br>%{x:.3~g} J per 1,000 texts<br>accuracy %{y:.3f}<extra>%{fullData.name}</extra>",
    };
  }

  function front(points) {
    const on = points.filter((p) => p.front).sort((a, b) => middle(a.energy) - middle(b.energy));
    return { x: on.map((p) => middle(p.energy)), y: on.map((p) => p.accuracy.value), name: "front", mode: "lines", line: { shape: "hv", color: colour("--soft"), width: 1.5, dash: "dot" }, hoverinfo: "skip" };
  }

  async function draw() {
    const data = document.getElementById("points");
    const place = document.getElementById("plot");
    if (!data || !place) return;
    const points = JSON.parse(data.textContent);
    const Plotly = await loadPlotly(place.dataset.script);
    if (!place.isConnected) return;
    place.replaceChildren();
    const bases = Object.keys(tone).filter((basis) => points.some((p) => p.basis === basis));
    const axis = { gridcolor: colour("--rule"), linecolor: colour("--soft"), zeroline: false, fixedrange: true };
    const floor = Number(place.dataset.floor);
    const narrow = place.clientWidth < 560;
    const layout = {
      autosize: true, height: narrow ? 350 : 416, margin: { l: 62, r: 18, t: 18, b: 62 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, color: colour("--ink"), size: 13 },
      xaxis: { ...axis, type: "log", title: { text: "Joules per 1,000 texts", standoff: 8 }, automargin: true, dtick: 1, tickformat: ",~r" },
      yaxis: { ...axis, title: { text: "Accuracy" }, tickformat: ".2f" },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      hoverlabel: { bgcolor: colour("--sheet"), bordercolor: colour("--rule"), font: { color: colour("--ink") } },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: floor, y1: floor, line: { color: colour("--rust"), width: 1, dash: "dash" } }],
      annotations: [{ xref: "paper", x: 1, xanchor: "right", y: floor, yanchor: "top", text: `your floor ${floor}`, showarrow: false, font: { color: colour("--rust"), size: 12 } }],
    };
    await Plotly.newPlot(place, [front(points), ...bases.map((b) => trace(points.filter((p) => p.basis === b), b))], layout, { displayModeBar: false, responsive: true });
  }

  async function ask() {
    if (!form.checkValidity()) return;
    const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim() !== ""));
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
      history.replaceState(null, "", `/?${asked}`);
      said.textContent = answer.querySelector(".verdict, .trouble")?.textContent.replace(/\s+/g, " ").trim() ?? "";
      await draw();
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
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
