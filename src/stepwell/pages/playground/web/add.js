// Adding an optimizer: one pick with the mouse; with the keyboard, arrows look through the list and Enter adds.

const adding = { byKey: false };

/** The list to add from: what is not chosen yet. */
function fillAdd() {
  const chosen = state.chosen.map(({ rule }) => rule);
  const rest = Object.keys(RULES).filter((rule) => !chosen.includes(rule));
  const first = element("option", { value: "" }, "Add an optimizer …");
  byId("add").replaceChildren(first, ...grouped(rest, (rule) => DATA.rules[rule].family));
  byId("plus").hidden = true;
}

function addOptimizer() {
  const rule = byId("add").value;
  if (!rule) return;
  state.chosen.push({ rule, hyper: tuned(surfaceNow(), rule, defaults(rule), state.start, state.steps) });
  buildCards();
  byId("cards").lastElementChild.querySelector("input").focus({ preventScroll: adding.byKey === false });
  changed();
}

function wireAdd() {
  const list = byId("add"), plus = byId("plus");
  list.onpointerdown = () => { adding.byKey = false; };
  list.onkeydown = (event) => {
    if (event.key === "Enter" && list.value) {
      event.preventDefault();
      addOptimizer();
    } else if (event.key !== "Tab") adding.byKey = true;
  };
  list.onchange = () => {
    if (!adding.byKey) return addOptimizer();
    plus.hidden = !list.value;
    plus.textContent = `Add ${list.value}`;
  };
  plus.onclick = addOptimizer;
}
