"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const CONFIG = { displayModeBar: false, displaylogo: false, doubleClick: false, showTips: false };
  const PAPER = { wide: 690, half: 690, small: 222 }; // pixels of a page's width
  const hidden = new Set(); // optimizers that the legends have switched off, by section

  // ---- colours: figures name CSS variables, "--ink" or "--ink/0.2", so that they follow the theme
  function painter() {
    const styles = getComputedStyle(root);
    const known = new Map();
    return (name) => {
      if (!known.has(name)) {
        const [variable, alpha] = name.split("/");
        const colour = styles.getPropertyValue(variable).trim();
        const channels = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
        known.set(name, alpha ? `rgba(${channels.join(",")},${alpha})` : colour);
      }
      return known.get(name);
    };
  }
  function painted(value, paint, key = "") {
    if (Array.isArray(value)) return value.some((x) => typeof x === "object" || key.endsWith("color")) ? value.map((x) => painted(x, paint, key)) : value;
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, x]) => [name, painted(x, paint, name)]));
    }
    return typeof value === "string" && value.startsWith("--") && key.endsWith("color") ? paint(value) : value;
  }

  // ---- charts
  const source = document.getElementById("figures");
  const figures = source ? JSON.parse(source.textContent) : {};
  const plots = all(".plot");
  const place = (plot) => plot.closest("article").id;

  function draw(plot, paint, width) {
    const figure = figures[plot.id];
    const data = figure.data.map((trace) => ({
      ...painted(trace, paint),
      visible: !hidden.has(`${place(plot)} ${trace.legendgroup}`),
    }));
    const layout = { ...painted(figure.layout, paint), width };
    return Plotly.react(plot, data, layout, CONFIG);
  }
  let drawing = 0;
  async function drawAll(chosen = plots) {
    const mine = ++drawing;
    const paint = painter();
    let since = performance.now();
    for (const plot of chosen) {
      if (performance.now() - since > 40) {
        await new Promise((go) => setTimeout(go));
        since = performance.now();
      }
      if (mine !== drawing) return;
      if (plot.clientWidth) await draw(plot, paint, plot.clientWidth);
    }
    root.dataset.drawn = plots.length;
    performance.mark("drawn");
  }
  function drawForPaper() {
    drawing++;
    const paint = painter();
    for (const plot of plots) draw(plot, paint, PAPER[plot.dataset.size]);
  }

  // ---- theme
  const NAMES = { "": "as the system", light: "light", dark: "dark" };
  const button = document.getElementById("theme");
  const store = {
    get: () => { try { return localStorage.getItem("stepwell-theme") || ""; } catch { return ""; } },
    set: (theme) => { try { localStorage.setItem("stepwell-theme", theme); } catch { /* none where files have no storage */ } },
  };
  function setTheme(theme) {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    button.textContent = `Theme: ${NAMES[theme] || NAMES[""]}`;
  }
  let theme = store.get() in NAMES ? store.get() : "";
  setTheme(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    const order = Object.keys(NAMES);
    theme = order[(order.indexOf(theme) + 1) % order.length];
    store.set(theme);
    setTheme(theme);
    drawAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (!theme) drawAll(); });

  // ---- what is drawn anew
  let wide = innerWidth;
  let later;
  addEventListener("resize", () => {
    if (innerWidth === wide) return; // a phone's address bar
    wide = innerWidth;
    clearTimeout(later);
    later = setTimeout(() => drawAll(), 150);
  });
  addEventListener("beforeprint", () => {
    setTheme("light");
    drawForPaper();
  });
  addEventListener("afterprint", () => {
    setTheme(theme);
    drawAll();
  });

  // ---- legends: a line can be switched off, in all charts of its section
  for (const key of all(".key")) {
    key.addEventListener("click", () => {
      const section = key.closest("article");
      const name = `${section.id} ${key.dataset.line}`;
      const shown = hidden.delete(name);
      if (!shown) hidden.add(name);
      for (const same of all(".key", section)) {
        if (same.dataset.line === key.dataset.line) same.setAttribute("aria-pressed", String(shown));
      }
      drawAll(all(".plot", section));
    });
  }

  // ---- code to copy; files have no clipboard everywhere
  for (const copy of all(".copy")) {
    copy.hidden = false;
    copy.setAttribute("aria-live", "polite");
    copy.addEventListener("click", async () => {
      const code = copy.closest(".code").querySelector("code");
      let done = false;
      try {
        await navigator.clipboard.writeText(code.textContent);
        done = true;
      } catch {
        const range = document.createRange();
        range.selectNodeContents(code);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        done = document.execCommand("copy");
      }
      copy.textContent = done ? "Copied" : "Selected: press Ctrl+C";
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    });
  }

  // ---- tables that can be searched and sorted
  for (const box of all("[data-rows]")) {
    const body = box.querySelector("tbody");
    const rows = [...body.rows];
    const words = rows.map((row) => row.textContent.toLowerCase().replace(/\s+/g, " "));
    const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim().toLowerCase()));
    const input = box.querySelector("input");
    const state = box.querySelector("[role=status]");
    const noun = box.dataset.rows;
    box.querySelector(".search").hidden = false;
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, k) => {
        const fits = wanted.every((word) => (isNaN(word) ? words[k].includes(word) : texts[k].includes(word)));
        row.hidden = !fits;
        shown += fits;
      });
      state.textContent = wanted.length ? `${shown} of ${rows.length} ${noun}s` : `${rows.length} ${noun}${rows.length === 1 ? "" : "s"}`;
    });
    for (const head of all("thead th", box)) {
      const sort = document.createElement("button");
      sort.type = "button";
      sort.textContent = head.textContent;
      head.replaceChildren(sort);
      sort.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of all("thead th", box)) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const value = (row) => {
          const cell = row.cells[head.cellIndex];
          return cell.dataset.order === undefined ? cell.textContent : Number(cell.dataset.order === "inf" ? Infinity : cell.dataset.order);
        };
        const order = (a, b) => (typeof a === "number" && typeof b === "number" ? (a === b ? 0 : a < b ? -1 : 1) : String(a).localeCompare(String(b)));
        body.replaceChildren(...[...rows].sort((a, b) => (up ? 1 : -1) * order(value(a), value(b))));
      });
    }
  }

  drawAll();
})();
