// Small helpers of the page: elements by id, elements made.

function byId(id) {
  return document.getElementById(id);
}

/** An element with properties, and what is in it; "aria-…" and "data-…" are attributes. */
function element(tag, properties = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || ["for", "style", "list"].includes(name)) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...inside);
  return made;
}

/** A box for a number. */
function numberBox(keys, words) {
  return element("input", { type: "text", inputMode: keys, autocomplete: "off", spellcheck: false, "aria-label": words });
}

/** A line as an optimizer's curves are drawn, to stand beside its name. */
function swatch(rule) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const { dash } = DATA.rules[rule];
  made.setAttribute("viewBox", "0 0 30 10");
  made.setAttribute("class", "swatch");
  made.setAttribute("aria-hidden", "true");
  const stroke = document.createElementNS("http://www.w3.org/2000/svg", "path");
  stroke.setAttribute("d", "M1 5H29");
  stroke.setAttribute("stroke-dasharray", dash.join(" "));
  made.append(stroke);
  made.style.setProperty("--c", inkedColour(rule));
  return made;
}

/** An optimizer's colour for style sheets; black follows the theme. */
function inkedColour(rule) {
  const { colour } = DATA.rules[rule];
  return colour === "#000000" ? "var(--ink)" : colour;
}

/** Options by family, each shown by its label. */
function grouped(names, familyOf, labelOf = (name) => name) {
  const groups = {};
  for (const name of names) {
    const family = familyOf(name);
    groups[family] ??= element("optgroup", { label: family });
    groups[family].append(element("option", { value: name }, labelOf(name)));
  }
  return Object.values(groups);
}
