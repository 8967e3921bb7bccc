// The start: dragged with mouse or finger, moved with the arrow keys, or typed.

let view = null; // of the picture as it was last drawn

function moveStart(point) {
  if (!point.every(Number.isFinite)) return;
  state.start = point.map((x) => rounded(x, 4));
  showStart();
  changed();
}

/** The handle where the start is, within the picture; the boxes with its numbers. */
function placeHandle() {
  if (!view) return;
  const [x, y] = view.toPixels(state.start), handle = byId("handle");
  handle.style.left = `${clamp(x, 0, view.width)}px`;
  handle.style.top = `${clamp(Number.isFinite(y) ? y : 0, 0, view.height)}px`;
  handle.setAttribute("aria-label", `Start ${shownPoint(state.start)}: drag it, or use the arrow keys`);
}

function showStart() {
  const boxes = state.start.map((x, k) => {
    const name = state.start.length > 1 ? `x${k + 1}` : "x";
    const box = numberBox("decimal", `start, ${name}`);
    box.value = plain(x);
    box.onchange = () => {
      const value = numberOf(box.value), good = Number.isFinite(value);
      box.setAttribute("aria-invalid", String(!good));
      byId("start-trouble").hidden = good;
      byId("start-trouble").textContent = good ? "" : `${name} must be a finite number`;
      if (!good) return;
      state.start[k] = value;
      changed();
    };
    return element("label", {}, element("span", {}, name), box);
  });
  byId("start").replaceChildren(...boxes);
  byId("start-trouble").hidden = true;
}

function pointUnder(event) {
  const box = byId("picture").getBoundingClientRect();
  const x = clamp(event.clientX - box.left, 0, box.width), y = clamp(event.clientY - box.top, 0, box.height);
  return view.toPoint(x, y);
}

function wireHandle() {
  const handle = byId("handle"), picture = byId("picture");
  const follow = (event) => moveStart(pointUnder(event));
  handle.onpointerdown = (event) => {
    handle.setPointerCapture(event.pointerId);
    handle.onpointermove = follow;
  };
  handle.onpointerup = handle.onpointercancel = () => { handle.onpointermove = null; };
  picture.onpointerdown = (event) => { // a finger may be about to scroll: it taps, a mouse also drags
    if (event.pointerType === "touch" || event.button !== 0) return;
    follow(event);
    picture.setPointerCapture(event.pointerId);
    picture.onpointermove = follow;
  };
  picture.onpointerup = picture.onpointercancel = () => { picture.onpointermove = null; };
  picture.onclick = follow;
  handle.onkeydown = nudge;
}

const NUDGES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** A hundredth of the surface's width with an arrow, a tenth with shift. */
function nudge(event) {
  const by = NUDGES[event.key];
  if (!by) return;
  event.preventDefault();
  const far = event.shiftKey ? 10 : 1;
  const sides = state.start.length > 1 ? by : [by[0] || by[1]];
  moveStart(state.start.map((x, k) => x + far * sides[k] * view.unit[k]));
}
