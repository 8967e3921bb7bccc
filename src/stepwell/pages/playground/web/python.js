// The lines of Python that give the same paths.

function pythonLines() {
  const own = surfaceNow().python, start = state.start.map(python);
  const from = start.length > 1 ? `[${start.join(", ")}]` : start[0];
  const lines = own ? [...own, ""] : ["from stepwell.functions import minimize, surfaces", ""];
  for (const { rule, hyper } of state.chosen) {
    const parts = [own ? "plane" : `surfaces.${state.surface}`, from, `"${rule}"`, ...given(rule, hyper)];
    parts.push(`steps=${state.steps}`);
    if (state.noise.sd > 0) parts.push(`noise=${python(state.noise.sd)}`, `seed=${state.noise.seed}`);
    if (own) parts.push("jac=plane.gradient");
    lines.push(`minimize(${parts.join(", ")})`);
  }
  return lines.join("\n");
}

/** The hyperparameters to name: the rate, and what is not the rule's default. */
function given(rule, hyper) {
  const usual = defaults(rule);
  const named = Object.keys(hyper).filter((name) => name === "lr" || hyper[name] !== usual[name]);
  return named.map((name) => `${name}=${python(hyper[name])}`);
}

/** A number that Python reads as the same float. */
function python(x) {
  const text = plain(x);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** Copy a text, and say so on the button. */
async function copy(text, button) {
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select it and copy it by hand";
  }
  setTimeout(() => { button.textContent = words; }, 1500);
}
