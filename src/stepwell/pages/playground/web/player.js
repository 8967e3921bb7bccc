// Through the steps: play, pause, one step, back to the start.

const player = { playing: false, last: 0, carried: 0 };

function speed() {
  return 2 ** byId("speed").valueAsNumber;
}

function play() {
  if (state.now >= state.steps) state.now = 0;
  player.playing = true;
  player.last = performance.now();
  player.carried = 0;
  showPlayer();
  requestAnimationFrame(tick);
}

function pause() {
  player.playing = false;
  showPlayer();
}

function toggle() {
  if (player.playing) pause();
  else play();
}

function tick(time) {
  if (!player.playing) return;
  player.carried += (Math.max(0, time - player.last) / 1000) * speed();
  player.last = time;
  const whole = Math.floor(player.carried);
  if (whole) {
    player.carried -= whole;
    goTo(state.now + whole);
  }
  if (state.now >= state.steps) return pause();
  requestAnimationFrame(tick);
}

/** Look at that step. */
function goTo(step) {
  state.now = clamp(step, 0, state.steps);
  showPlayer();
  looked();
}

/** Stop, and look at that step. */
function halt(step) {
  pause();
  goTo(step);
}

function showPlayer() {
  const scrub = byId("scrub"), button = byId("play");
  scrub.max = state.steps;
  scrub.value = state.now;
  scrub.setAttribute("aria-valuetext", `step ${state.now} of ${state.steps}`);
  byId("where").textContent = `${state.now} / ${state.steps}`;
  button.dataset.playing = player.playing;
  button.setAttribute("aria-label", player.playing ? "Pause" : "Play");
  button.title = player.playing ? "Pause (space)" : "Play (space)";
  byId("pace").textContent = `${Math.round(speed())} a second`;
}

function wirePlayer() {
  byId("play").onclick = toggle;
  byId("reset").onclick = () => halt(0);
  byId("back").onclick = () => halt(state.now - 1);
  byId("forward").onclick = () => halt(state.now + 1);
  byId("end").onclick = () => halt(state.steps);
  byId("scrub").oninput = () => halt(byId("scrub").valueAsNumber);
  byId("speed").oninput = showPlayer;
  document.addEventListener("keydown", shortcut);
}

const KEYS = {
  " ": toggle,
  ArrowRight: () => halt(state.now + 1),
  ArrowLeft: () => halt(state.now - 1),
  Home: () => halt(0),
  End: () => halt(state.steps),
  "+": () => faster(1),
  "-": () => faster(-1),
};

function faster(by) {
  byId("speed").valueAsNumber += by;
  showPlayer();
}

/** A key of the page, where it is no other thing's: a slider has its own arrows, a button its own space. */
function shortcut(event) {
  const busy = event.target.closest("input, select, button, summary, a, [tabindex]");
  if (busy || event.ctrlKey || event.altKey || event.metaKey || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
}
