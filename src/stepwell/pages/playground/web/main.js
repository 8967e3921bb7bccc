// The page: what happens when something changes, and the beginning.

let paths = [], waiting = false, stale = true;

/** The paths are other ones now. */
function changed() {
  stale = true;
  looked();
}

/** Draw with the next frame, once however much has changed. */
function looked() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(render);
}

function render() {
  waiting = false;
  if (stale) computePaths();
  view = drawPicture(paths);
  drawChart(paths);
  placeHandle();
  showReadout(paths);
  announce(paths);
  remember();
}

function computePaths() {
  stale = false;
  const { start, steps, noise } = state;
  paths = state.chosen.map(({ rule, hyper }) => descend(surfaceNow(), rule, hyper, start, steps, noise));
  byId("python").textContent = pythonLines();
  byId("names").replaceChildren(...state.chosen.map(({ rule }) => element("span", {}, swatch(rule), rule)));
}

let remembering = 0;

/** Keep the state in the address, once things are still. */
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => history.replaceState(null, "", hashOf()), 250);
}

/** Everything that shows the state, made anew. */
function showAll() {
  byId("surface").value = state.surface;
  byId("steps").value = state.steps;
  byId("noise").value = state.noise.sd;
  byId("seed").value = state.noise.seed;
  showSurface();
  showStart();
  buildCards();
  showPlayer();
  changed();
}

function showSurface() {
  const surface = surfaceNow(), notes = [`${surface.about}.`];
  if (surface.share != null) {
    const share = shown(100 * surface.share, 3);
    notes.push(`The dotted line is the training's own path; ${share} % of it lies in this plane.`);
  }
  if (surface.missing) {
    const where = `At ${surface.missing} of ${surface.points} points the loss is not finite`;
    notes.push(`${where}: there the highest finite one stands for it.`);
  }
  if (surface.coefficients) notes.push("Outside of what was measured there is no loss.");
  byId("about").textContent = notes.join(" ");
}

function chooseSurface() {
  pause();
  lookAt(byId("surface").value);
  tuneAll();
  state.now = state.steps;
  showAll();
}

/** Take the state from the address, and say what of it could not be. */
function fromAddress() {
  pause();
  const words = restore(location.hash), notice = byId("notice");
  notice.hidden = !words.length;
  notice.textContent = words.length ? `This address cannot be read in full: ${words.join("; ")}.` : "";
  showAll();
}

/** A box with an integer or a number, which says what it must be. */
function wireNumber(id, words, good, take) {
  byId(id).onchange = () => {
    const box = byId(id), value = numberOf(box.value), trouble = byId("numbers-trouble");
    const fine = good(value);
    tell(box, trouble, fine ? "" : `${id} must be ${words}`);
    if (!fine) return;
    take(value);
    showPlayer();
    changed();
  };
}

function wireNumbers() {
  const { steps, seeds } = DATA.draws;
  const integer = (low, high) => (x) => Number.isInteger(x) && x >= low && x <= high;
  wireNumber("steps", `an integer from 1 to ${steps}`, integer(1, steps), (x) => {
    pause();
    state.steps = state.now = x;
  });
  wireNumber("noise", "a number ≥ 0", (x) => Number.isFinite(x) && x >= 0, (x) => { state.noise.sd = x; });
  wireNumber("seed", `an integer from 0 to ${seeds - 1}`, integer(0, seeds - 1), (x) => { state.noise.seed = x; });
}

/** The other theme than the one that is seen. */
function switchTheme() {
  const root = document.documentElement;
  root.dataset.theme = getComputedStyle(root).colorScheme === "dark" ? "light" : "dark";
  changed();
}

function openPage() {
  gatherSurfaces();
  const order = Object.keys(SURFACES).sort((a, b) => rank(a) - rank(b));
  const kinds = ["your own", "of two numbers", "of one number"];
  byId("surface").replaceChildren(...grouped(order, (name) => kinds[rank(name)], (name) => SURFACES[name].label ?? name));
  byId("surface").onchange = chooseSurface;
  byId("fit").onclick = () => { tuneAll(); buildCards(); changed(); };
  byId("theme").onclick = switchTheme;
  byId("copy").onclick = () => copy(pythonLines(), byId("copy"));
  byId("share").onclick = () => copy(location.href.split("#")[0] + hashOf(), byId("share"));
  wireAdd();
  wirePlayer();
  wireHandle();
  wireNumbers();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  addEventListener("hashchange", fromAddress);
  new ResizeObserver(looked).observe(byId("picture"));
  fromAddress();
}

function rank(name) {
  return SURFACES[name].coefficients ? 0 : 3 - SURFACES[name].dimension;
}

openPage();
