// Where every optimizer is, as a table, and in words for those who do not see the picture.

function showReadout(paths) {
  const surface = surfaceNow();
  byId("readout").replaceChildren(...paths.map((path, k) => readoutRow(surface, path, state.chosen[k].rule)));
  byId("no-distance").hidden = surface.minima.length > 0;
}

function readoutRow(surface, path, rule) {
  const step = Math.min(state.now, path.made), x = pointAt(path, step), away = distance(surface, x);
  const cells = { step, x: shownPoint(x), f: shown(path.values[step], 5) };
  cells["to the minimum"] = away === null ? "–" : shown(away, 3);
  return element("tr", { "data-rule": rule },
    element("th", { scope: "row" }, swatch(rule), " ", rule),
    ...Object.entries(cells).map(([name, text]) => element("td", { "data-label": name }, String(text))),
    element("td", { className: `words ${troubled(path) ? "bad" : ""}` }, verdict(surface, path, step)));
}

function troubled(path) {
  return path.end !== "done" && state.now >= path.made;
}

/** How an optimizer does, in words. */
function verdict(surface, path, step) {
  if (path.end === "start" && surface.coefficients) return "starts outside of what was measured";
  if (path.end === "start") return "f is not finite at the start";
  if (troubled(path) && path.end === "left") return `left the measured plane at step ${step}`;
  if (troubled(path)) return `diverged at step ${step}`;
  const away = distance(surface, pointAt(path, step));
  if (away !== null && away < 1e-3) return "at the minimum";
  const value = path.values[step], first = path.values[0];
  if (step === 0) return "at the start";
  return value < first ? "below its start" : value > first ? "above its start" : "as high as its start";
}

let speaking = 0;

/** Tell a screen reader, once things are still. */
function announce(paths) {
  clearTimeout(speaking);
  speaking = setTimeout(() => { byId("live").textContent = summary(paths); }, 500);
}

function summary(paths) {
  const surface = surfaceNow(), name = surface.label ?? surface.name;
  const where = `${name} from ${shownPoint(state.start)}, step ${state.now} of ${state.steps}.`;
  const each = paths.map((path, k) => {
    const step = Math.min(state.now, path.made);
    return `${state.chosen[k].rule}: f ${shown(path.values[step])}, ${verdict(surface, path, step)}.`;
  });
  return [where, ...(each.length ? each : ["No optimizer is chosen."])].join(" ");
}
