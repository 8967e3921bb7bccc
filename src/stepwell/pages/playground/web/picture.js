// The picture: the surface, the minima, and every path up to the step that is looked at.

const FAR = 1e5, DOTS = 250; // pixels beyond which nothing is drawn; steps of a path that have dots of their own

function drawPicture(paths) {
  const canvas = byId("picture"), surface = surfaceNow();
  const { context, width, height } = sheet(canvas);
  if (!width || !height) return null;
  const view = viewOf(surface, width, height);
  if (surface.dimension === 1) drawCurve(context, view, surface);
  else context.drawImage(reliefOf(surface, view, window.devicePixelRatio || 1), 0, 0, width, height);
  drawScales(context, view, surface);
  if (surface.path?.length) drawTraining(context, view, surface.path);
  paths.forEach((path, k) => drawPath(context, view, path, state.chosen[k].rule));
  for (const minimum of surface.minima) star(context, view.toPixels(minimum));
  paths.forEach((path, k) => drawHead(context, view, path, state.chosen[k].rule));
  return view;
}

/** The pixels of a path's points, up to the first that is nowhere. */
function pixelsOf(view, path, from, to) {
  const found = [];
  for (let k = from; k <= Math.min(to, path.made); k++) {
    const [x, y] = view.toPixels(pointAt(path, k));
    if (!Number.isFinite(x + y)) break;
    found.push([clamp(x, -FAR, FAR), clamp(y, -FAR, FAR)]);
  }
  return found;
}

function line(context, pixels) {
  context.beginPath();
  pixels.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

function drawPath(context, view, path, rule) {
  const colour = colourOf(rule), made = pixelsOf(view, path, 0, state.now);
  context.save();
  context.lineJoin = context.lineCap = "round";
  context.strokeStyle = colour;
  context.globalAlpha = 0.28;
  context.lineWidth = 1.5;
  line(context, pixelsOf(view, path, state.now, path.made));
  context.globalAlpha = 0.75;
  context.strokeStyle = themed("ground");
  context.lineWidth = 4.5;
  line(context, made);
  context.globalAlpha = 1;
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.setLineDash(DATA.rules[rule].dash.map((x) => 2 * x));
  line(context, made);
  context.restore();
  if (made.length <= DOTS) dots(context, made, colour);
}

function dots(context, pixels, colour) {
  context.fillStyle = colour;
  context.beginPath();
  for (const [x, y] of pixels) {
    context.moveTo(x + 2.6, y);
    context.arc(x, y, 2.6, 0, 7);
  }
  context.fill();
}

/** Where a path is now: a disc with a rim, or a cross where it went to nowhere. */
function drawHead(context, view, path, rule) {
  const pixels = pixelsOf(view, path, 0, state.now), last = pixels.at(-1);
  if (!last || state.now === 0) return;
  const lost = path.end !== "done" && state.now >= path.made;
  context.fillStyle = context.strokeStyle = colourOf(rule);
  context.lineWidth = 2.5;
  if (lost) return cross(context, ...last);
  disc(context, ...last, 7.5, themed("ground"));
  disc(context, ...last, 5.5, colourOf(rule));
}

function disc(context, x, y, radius, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.fill();
}

function cross(context, x, y) {
  context.beginPath();
  for (const side of [1, -1]) {
    context.moveTo(x - 6, y - 6 * side);
    context.lineTo(x + 6, y + 6 * side);
  }
  context.stroke();
}

/** A star with five points, for a minimum. */
function star(context, [x, y]) {
  context.beginPath();
  for (let k = 0; k < 10; k++) {
    const radius = k % 2 ? 4 : 9, angle = (k * Math.PI) / 5 - Math.PI / 2;
    context.lineTo(x + radius * Math.cos(angle), y + radius * Math.sin(angle));
  }
  context.closePath();
  context.fillStyle = themed("star");
  context.strokeStyle = themed("ground");
  context.lineWidth = 2;
  context.stroke();
  context.fill();
}

function drawTraining(context, view, points) {
  context.save();
  context.strokeStyle = themed("muted");
  context.lineWidth = 1.5;
  context.setLineDash([3, 4]);
  line(context, points.map(view.toPixels));
  context.restore();
}

function drawCurve(context, view, surface) {
  context.fillStyle = themed("low");
  context.fillRect(0, 0, view.width, view.height);
  context.strokeStyle = themed("muted");
  context.lineWidth = 2.5;
  const pixels = [];
  for (let x = 0; x <= view.width; x += 2) pixels.push([x, view.toPixels(view.toPoint(x, 0))[1]]);
  line(context, pixels.filter(([, y]) => Number.isFinite(y)).map(([x, y]) => [x, clamp(y, -FAR, FAR)]));
}

/** Numbers along the lower and the left edge, on a strip that lets the surface through. */
function drawScales(context, view, surface) {
  const [left, top] = view.toPoint(0, 0), [right, bottom] = view.toPoint(view.width, view.height);
  context.font = `11px ${themed("sans")}`;
  context.fillStyle = themed("muted");
  context.textAlign = "center";
  for (const x of ticks(left, right, view.width / 90)) {
    const at = view.toPixels([x, 0])[0];
    if (at > 34 && at < view.width - 20) label(context, shown(x), at, view.height - 7);
  }
  context.textAlign = "left";
  const upright = surface.dimension > 1 ? [bottom, top] : [view.toHeight(view.height - 24), view.toHeight(0)];
  for (const y of ticks(...upright, view.height / 70)) {
    const at = surface.dimension > 1 ? view.toPixels([0, y])[1] : heightPixel(view, y);
    if (at > 16 && at < view.height - 24) label(context, shown(y), 8, at + 4);
  }
}

function heightPixel(view, y) {
  const low = view.toHeight(view.height - 24), high = view.toHeight(0);
  return ((high - y) / (high - low)) * (view.height - 24);
}

function label(context, text, x, y) {
  context.strokeStyle = themed("ground");
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}
