// Hyperparameters: what they may be, and where their sliders stand.

/** Whether a value lies in a hyperparameter's domain. */
function holds(hyper, value) {
  const { low, high } = hyper;
  if (!Number.isFinite(value)) return false;
  if (low && (value < low.at || (value === low.at && !low.holds))) return false;
  return !(high && (value > high.at || (value === high.at && !high.holds)));
}

/** What is wrong with a text as the value of a hyperparameter; empty if nothing is. */
function complaint(hyper, text) {
  return holds(hyper, numberOf(text)) ? "" : `${hyper.name} must be ${hyper.words}`;
}

/** The value at a position of a slider, to three digits. */
function valueAt(slider, position) {
  if (slider.kind === "linear") return rounded(position, 6) + 0;
  if (position === slider.exact) return slider.origin;
  return rounded(slider.origin + slider.sign * rounded(10 ** position, 3), 12);
}

/** The position of a slider for a value; its nearest end for one that lies beyond. */
function positionOf(slider, value) {
  const low = Math.min(slider.left, slider.right), high = Math.max(slider.left, slider.right);
  if (slider.kind === "linear") return clamp(value, low, high);
  const share = (value - slider.origin) * slider.sign;
  return clamp(share > 0 ? Math.log10(share) : -Infinity, low, high);
}

/** All hyperparameters of a rule at their defaults, by name. */
function defaults(rule) {
  return Object.fromEntries(DATA.rules[rule].hyper.map((hyper) => [hyper.name, hyper.default]));
}
