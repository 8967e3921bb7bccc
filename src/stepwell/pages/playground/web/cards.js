// The chosen optimizers, each on a card: its sliders, its formula, and a rate that suits the surface.

const NOTCHES = 100; // of a slider, a decade

function buildCards() {
  byId("cards").replaceChildren(...state.chosen.map(card));
  byId("nobody").hidden = state.chosen.length > 0;
  fillAdd();
}

function card(each) {
  const { rule } = each, known = DATA.rules[rule];
  const words = `Remove ${rule}`;
  const remove = element("button", { type: "button", className: "icon", title: words, "aria-label": words }, "×");
  remove.onclick = () => drop(rule);
  const made = element("article", { className: "card", "aria-label": rule, "data-rule": rule });
  made.style.setProperty("--c", inkedColour(rule));
  made.append(
    element("header", {}, swatch(rule), element("h3", {}, rule), tuneButton(each, made), remove),
    element("p", { className: "about" }, known.summary),
    ...known.hyper.map((hyper) => row(each, hyper)),
    formula(known),
  );
  return made;
}

function tuneButton(each, made) {
  const title = "The rate on the slider whose path lies lowest, from here, in these steps";
  const button = element("button", { type: "button", className: "quiet", title }, "Fit rate");
  button.hidden = !("lr" in each.hyper);
  button.onclick = () => {
    each.hyper = tuned(surfaceNow(), each.rule, each.hyper, state.start, state.steps);
    showValues(made, each);
    changed();
  };
  return button;
}

function drop(rule) {
  state.chosen = state.chosen.filter((each) => each.rule !== rule);
  buildCards();
  byId("add").focus();
  changed();
}

/** A hyperparameter: its name, a slider, and a box for the number itself. */
function row(each, hyper) {
  const id = `${each.rule}-${hyper.name}`, { slider } = hyper;
  const most = Math.round(Math.abs(slider.right - slider.left) * NOTCHES);
  const range = element("input", { type: "range", id, min: 0, max: most, step: 1, "data-hyper": hyper.name });
  const box = numberBox("decimal", `${each.rule} ${hyper.name}, a number`);
  const trouble = element("p", { className: "trouble", role: "alert", hidden: true });
  range.oninput = () => {
    each.hyper[hyper.name] = valueAt(slider, notch(slider, range.valueAsNumber, most));
    showValue(range, box, trouble, each, hyper);
    changed();
  };
  box.oninput = () => {
    const words = complaint(hyper, box.value);
    tell(box, trouble, words);
    if (words) return;
    each.hyper[hyper.name] = numberOf(box.value);
    placeSlider(range, each, hyper);
    changed();
  };
  box.onchange = () => showValue(range, box, trouble, each, hyper);
  showValue(range, box, trouble, each, hyper);
  const label = element("label", { for: id }, ...breakable(hyper.name));
  return element("div", { className: "row", "data-hyper": hyper.name }, label, range, box, trouble);
}

/** A name that may break after its underscores. */
function breakable(name) {
  return name.split(/(?<=_)/).flatMap((part) => [part, element("wbr")]);
}

function notch(slider, k, most) {
  if (k === most) return slider.right;
  return slider.left + (k / most) * (slider.right - slider.left);
}

function showValues(made, each) {
  for (const hyper of DATA.rules[each.rule].hyper) {
    const place = made.querySelector(`.row[data-hyper="${hyper.name}"]`);
    const [range, box] = place.querySelectorAll("input");
    showValue(range, box, place.querySelector(".trouble"), each, hyper);
  }
}

function showValue(range, box, trouble, each, hyper) {
  box.value = plain(each.hyper[hyper.name]);
  tell(box, trouble, "");
  placeSlider(range, each, hyper);
}

function placeSlider(range, each, hyper) {
  const { slider } = hyper, value = each.hyper[hyper.name];
  range.value = Math.round(((positionOf(slider, value) - slider.left) / (slider.right - slider.left)) * range.max);
  range.setAttribute("aria-valuetext", shown(value, 6));
}

/** Say what is wrong beside a box, or that nothing is. */
function tell(box, trouble, words) {
  box.setAttribute("aria-invalid", String(Boolean(words)));
  trouble.hidden = !words;
  trouble.textContent = words;
}

function formula(known) {
  const made = element("details", {}, element("summary", {}, "Formula"));
  made.append(element("pre", {}, element("code", {}, known.formula)));
  if (known.reference) {
    made.append(element("a", { href: known.reference, target: "_blank", rel: "noreferrer" }, "Where it comes from"));
  }
  return made;
}
