// What is looked at, and the address that keeps it: #surface=ravine&start=-5,-2&steps=100&adam=lr:0.4,beta1:0.9

const FIRST = { surface: "ravine", rules: ["momentum", "adagrad", "adam"], steps: 100 };
const SETTINGS = ["surface", "start", "steps", "at", "noise", "seed"];
const state = { surface: "", start: [], steps: FIRST.steps, chosen: [], noise: { sd: 0, seed: 0 }, now: FIRST.steps };

function surfaceNow() {
  return SURFACES[state.surface];
}

/** The state before anything is chosen. */
function begin() {
  state.steps = state.now = FIRST.steps;
  state.noise = { sd: 0, seed: 0 };
  lookAt(DATA.first ?? FIRST.surface);
  state.chosen = FIRST.rules.map((rule) => ({ rule, hyper: defaults(rule) }));
  tuneAll();
}

function lookAt(name) {
  state.surface = name;
  state.start = [...SURFACES[name].start];
}

function tuneAll() {
  const { start, steps } = state;
  for (const each of state.chosen) each.hyper = tuned(surfaceNow(), each.rule, each.hyper, start, steps);
}

/** The state as the part of an address after the #; of the hyperparameters, those that are not the rule's defaults. */
function hashOf() {
  const parts = [`surface=${state.surface}`, `start=${state.start.map(plain).join(",")}`, `steps=${state.steps}`];
  if (state.now !== state.steps) parts.push(`at=${state.now}`);
  if (state.noise.sd > 0) parts.push(`noise=${plain(state.noise.sd)}`, `seed=${state.noise.seed}`);
  for (const { rule, hyper } of state.chosen) {
    const usual = defaults(rule);
    const given = Object.keys(hyper).filter((name) => name === "lr" || hyper[name] !== usual[name]);
    parts.push(`${rule}=${given.map((name) => `${name}:${plain(hyper[name])}`).join(",")}`);
  }
  return `#${parts.join("&")}`;
}

/** Take the state from such a text; what it says that cannot be is left out, and told in words. */
function restore(hash) {
  begin();
  const words = [];
  const pairs = [...new URLSearchParams(hash.replace(/^#/, ""))];
  if (!pairs.length) return words;
  const given = new Map(pairs);
  readSurface(given, words);
  readNumbers(given, words);
  state.chosen = [];
  for (const [key, text] of given) {
    if (Object.hasOwn(RULES, key)) state.chosen.push({ rule: key, hyper: readHyper(key, text, words) });
    else if (!SETTINGS.includes(key)) words.push(`there is no optimizer ${key}`);
  }
  return words;
}

function readSurface(given, words) {
  const name = given.get("surface");
  if (Object.hasOwn(SURFACES, name ?? "")) lookAt(name);
  else if (name !== undefined) words.push(`there is no surface ${name} here; ${state.surface} is shown`);
  if (!given.has("start")) return;
  const start = given.get("start").split(",").map(numberOf);
  const wanted = surfaceNow().dimension === 1 ? "one number" : "two numbers";
  if (start.length === surfaceNow().dimension && start.every(Number.isFinite)) state.start = start;
  else words.push(`start must be ${wanted} for ${state.surface}; it says ${given.get("start")}`);
}

function readNumbers(given, words) {
  const integer = (key, low, high, take) => {
    if (!given.has(key)) return;
    const value = numberOf(given.get(key));
    if (Number.isInteger(value) && value >= low && value <= high) take(value);
    else words.push(`${key} must be an integer from ${low} to ${high}; it says ${given.get(key)}`);
  };
  integer("steps", 1, DATA.draws.steps, (value) => { state.steps = state.now = value; });
  integer("at", 0, state.steps, (value) => { state.now = value; });
  integer("seed", 0, DATA.draws.seeds - 1, (value) => { state.noise.seed = value; });
  if (!given.has("noise")) return;
  const sd = numberOf(given.get("noise"));
  if (Number.isFinite(sd) && sd >= 0) state.noise.sd = sd;
  else words.push(`noise must be a number ≥ 0; it says ${given.get("noise")}`);
}

function readHyper(rule, text, words) {
  const hyper = defaults(rule);
  for (const part of text.split(",").filter(Boolean)) {
    const [name, value] = part.split(":");
    const known = DATA.rules[rule].hyper.find((each) => each.name === name);
    if (!known) words.push(`${rule} has no hyperparameter ${name}`);
    else if (complaint(known, value)) words.push(`${complaint(known, value)}; ${rule} has ${value}`);
    else hyper[name] = numberOf(value);
  }
  return hyper;
}
