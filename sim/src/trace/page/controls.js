// What the reader does.
const element = id => document.getElementById(id);

function select(index) {
  chosen.selected = index;
  const panel = element("step");
  panel.hidden = index === null;
  panel.replaceChildren();
  if (index !== null) {
    const event = events[index], list = document.createElement("dl");
    const say = (name, text) => {
      const term = document.createElement("dt"), value = document.createElement("dd");
      term.textContent = name;
      value.textContent = text;
      list.append(term, value);
    };
    const heading = document.createElement("b");
    heading.textContent = told(event);
    say("step", numberOf(index));
    say("virtual time", milliseconds(event[NOW], 6) + " ms");
    say("where", siteText(event));
    if (event[OBJECT_ID] !== null && objectNames.has(event[OBJECT_ID])) say("object", objectLabel(event[OBJECT_ID]));
    const held = run.spans.filter(span => span[S_WHAT] === "held" && span[S_THREAD] === event[THREAD] && span[S_FROM] <= index && (span[S_TO] === null || span[S_TO] > index));
    if (held.length) say("holds", held.map(span => objectLabel(span[S_OBJECT])).join(", "));
    const packet = event[PACKET] !== null && run.packets.find(packet => packet.number === event[PACKET]);
    if (packet) {
      say("packet", tellPacket(packet));
      if (packet.bytes) say("bytes", packet.bytes.replace(/(..)/g, "$1 ") + (packet.bytes.length / 2 < packet.length ? "..." : ""));
    }
    for (const choice of deviationAt.get(index) || []) say("choice " + choice.place, choice.kind + ": " + choice.text);
    panel.append(heading, list);
  }
  redraw();
}

function scrollToStep(index) {
  view.scrollTop = Math.max(0, stepY(index) + NAMES_HEIGHT - view.clientHeight / 2);
}
// Shows a step in a row of its own.
function magnify(index) {
  if (chosen.axis === "time") setAxis("steps");
  if (rowOf(index) >= shown.length || shown[rowOf(index)] !== index) clearFilters();
  chosen.rowHeight = Math.max(chosen.rowHeight, 22);
  select(index);
  draw();
  scrollToStep(index);
  redraw();
}

function setAxis(axis) {
  chosen.axis = axis;
  element("axis-steps").setAttribute("aria-pressed", axis === "steps");
  element("axis-time").setAttribute("aria-pressed", axis === "time");
  draw();
}

// What is at `at`, a height in the view, stays there.
function zoom(factor, at) {
  const middle = at === undefined ? view.clientHeight / 2 : at;
  const share = (view.scrollTop + middle - NAMES_HEIGHT) / Math.max(1, layout.bottom);
  if (chosen.axis === "steps") chosen.rowHeight = Math.min(48, Math.max(0.02, chosen.rowHeight * factor));
  else chosen.pxPerNs = Math.min(2e7 / Math.max(1, lastNs - firstNs), Math.max(60 / Math.max(1, lastNs - firstNs), chosen.pxPerNs * factor));
  draw();
  view.scrollTop = share * layout.bottom - middle + NAMES_HEIGHT;
  redraw();
}
function fit() {
  const room = view.clientHeight - NAMES_HEIGHT - TOP - relations.length * RELATION_HEIGHT - 60;
  chosen.rowHeight = Math.min(22, Math.max(0.02, room / Math.max(1, shown.length)));
  chosen.pxPerNs = 0;
  draw();
}
function setLaneWidth(factor) {
  chosen.wider = Math.min(6, Math.max(0.2, chosen.wider * factor));
  draw();
}

function applyFilters() {
  chosen.thread = element("filter-thread").value;
  chosen.object = element("filter-object").value;
  chosen.kind = element("filter-kind").value;
  chosen.text = element("filter-text").value;
  filter();
  element("count").textContent = shown.length === events.length ? `${run.total} steps` : `${shown.length} of ${run.total} steps`;
  draw();
}
function clearFilters() {
  for (const id of ["filter-thread", "filter-object", "filter-kind", "filter-text"]) element(id).value = "";
  applyFilters();
}
function moveSelection(by) {
  if (shown.length === 0) return;
  let row = by > 0 ? 0 : shown.length - 1;
  if (chosen.selected !== null) row = Math.min(shown.length - 1, Math.max(0, rowOf(chosen.selected) + by));
  select(shown[row]);
  const y = rowY(row) + NAMES_HEIGHT;
  if (y < view.scrollTop + 60 || y > view.scrollTop + view.clientHeight - 40) scrollToStep(shown[row]);
}
function setTheme() {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
}
function showKeys() {
  element("key-list").hidden = !element("key-list").hidden;
  element("keys").setAttribute("aria-expanded", !element("key-list").hidden);
  draw();
}
const toEnd = () => { view.scrollTop = layout.height; };

function fillSelect(id, all, options) {
  const list = element(id);
  for (const [value, text] of [["", all], ...options]) {
    const option = document.createElement("option");
    option.value = value;
    option.textContent = cut(text, 60);
    list.append(option);
  }
  list.addEventListener("change", applyFilters);
}

function drawLegend() {
  const legend = element("legend");
  const entry = (draws, text, object) => {
    const item = document.createElement("span"), picture = node("svg", { viewBox: "0 0 26 12" });
    draws.forEach(drawn => picture.append(drawn));
    item.append(picture, text);
    if (object !== undefined) {
      item.className = "object";
      item.title = "the steps on this lock";
      item.addEventListener("click", () => { element("filter-object").value = String(object); applyFilters(); });
    }
    legend.append(item);
  };
  for (const [id, lock] of [...locks].slice(0, 16)) {
    entry([node("rect", { x: 4, y: 0, width: 14, height: 12, rx: 2, fill: lock.colour }), node("text", { x: 11, y: 10, class: "bar-label" }, lock.letter)], lock.name, id);
  }
  if (run.spans.some(span => span[S_WHAT] === "held")) entry([node("rect", { x: 9, y: 0, width: 8, height: 12, rx: 2, fill: "var(--faint)" })], "holds a lock");
  if (run.spans.some(span => span[S_WHAT] !== "held")) entry([node("rect", { x: 9, y: 0.5, width: 8, height: 11, rx: 2, class: "wait", fill: "var(--faint)", stroke: "var(--faint)", "fill-opacity": 0.14 })], "waits");
  const arrow = kind => [node("line", { x1: 0, x2: 20, y1: 6, y2: 6, class: "packet " + kind }), node("polygon", { points: "26,6 17,2 17,10", class: "head " + kind })];
  if (run.packets.some(packet => packet.arrived.length)) entry(arrow("plain"), "packet");
  if (run.packets.some(packet => packet.lost.length)) {
    entry([node("line", { x1: 0, x2: 18, y1: 6, y2: 6, class: "packet lost" }), node("line", { x1: 14, x2: 22, y1: 2, y2: 10, class: "cross" }), node("line", { x1: 14, x2: 22, y1: 10, y2: 2, class: "cross" })], "lost");
  }
  if (run.packets.some(packet => packet.harmed.length && !onlyCopied(packet))) entry(arrow("harmed"), "harmed");
  if (run.packets.some(packet => packet.arrived.length > 1)) entry(arrow("copy"), "copy");
  if (run.deviations.length) entry([node("path", { d: "M 13 1 L 18 6 L 13 11 L 8 6 Z", class: "diamond" })], "a choice that was not dull");
  if (involvedSteps.size) entry([node("circle", { cx: 13, cy: 6, r: 5, class: "ring" })], "part of the " + run.caught);
}

const keys = {
  "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), "0": fit, "[": () => setLaneWidth(1 / 1.2), "]": () => setLaneWidth(1.2),
  t: () => setAxis(chosen.axis === "steps" ? "time" : "steps"), j: () => moveSelection(1), k: () => moveSelection(-1), e: toEnd, d: setTheme, "?": showKeys,
  "/": () => element("filter-text").focus(),
  Escape: () => { select(null); clearFilters(); view.focus(); },
};
document.addEventListener("keydown", event => {
  const isTyping = event.target.matches("input, select");
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping && event.key !== "Escape" || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
view.addEventListener("wheel", event => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.clientY - view.getBoundingClientRect().top);
}, { passive: false });
view.addEventListener("scroll", () => { if (!isWhole()) redraw(); });
canvas.addEventListener("click", event => {
  const target = event.target.closest("[data-step], [data-magnify]");
  if (!target || wasDragged) return;
  if (target.dataset.magnify !== undefined) magnify(Number(target.dataset.magnify)); else select(Number(target.dataset.step));
});
// Until the reader moves, what was found stays in view, however large the window becomes.
let stays = false;
new ResizeObserver(() => {
  draw();
  if (stays) toEnd();
}).observe(view);
for (const moves of ["wheel", "pointerdown", "keydown"]) addEventListener(moves, () => { stays = false; }, { capture: true, passive: true });
let drag = null, wasDragged = false;
view.addEventListener("pointerdown", event => {
  if (event.button === 0 && event.pointerType === "mouse") drag = { x: event.clientX, y: event.clientY, left: view.scrollLeft, top: view.scrollTop };
});
addEventListener("pointermove", event => {
  if (!drag) return;
  if (Math.abs(event.clientX - drag.x) + Math.abs(event.clientY - drag.y) > 4) view.classList.add("dragging");
  view.scrollLeft = drag.left - (event.clientX - drag.x);
  view.scrollTop = drag.top - (event.clientY - drag.y);
});
addEventListener("pointerup", () => { drag = null; wasDragged = view.classList.contains("dragging"); view.classList.remove("dragging"); });

for (const [id, act] of [["axis-steps", () => setAxis("steps")], ["axis-time", () => setAxis("time")], ["zoom-out", () => zoom(1 / 1.3)], ["zoom-in", () => zoom(1.3)],
  ["zoom-fit", fit], ["narrower", () => setLaneWidth(1 / 1.2)], ["wider", () => setLaneWidth(1.2)], ["filter-clear", clearFilters], ["to-finding", toEnd],
  ["theme", setTheme], ["keys", showKeys]]) {
  element(id).addEventListener("click", act);
}
element("filter-text").addEventListener("input", applyFilters);
fillSelect("filter-thread", "every thread", [...lanes.map(lane => [String(lane.thread), lane.name]), ...(events.some(isNetwork) ? [[String(run.network), "network"]] : [])]);
const touched = new Set(events.map(event => event[OBJECT_ID]));
fillSelect("filter-object", "every object", run.objects.filter(([id]) => touched.has(id)).map(([id]) => [String(id), objectLabel(id)]));
fillSelect("filter-kind", "every kind", [...new Set(run.ops.map(op => op[1]))].sort().map(kind => [kind, kind]));
for (const id of ["controls", "legend", "view"]) element(id).hidden = false;
drawLegend();
filter();
// What the address says after # is chosen at once, as in `#time,dark,fit` or `#kind=packets,text=lost`.
const asked = location.hash.slice(1).split(",").map(decodeURIComponent);
for (const filter of ["thread", "object", "kind", "text"]) {
  const wanted = asked.find(word => word.startsWith(filter + "="));
  if (wanted) element("filter-" + filter).value = wanted.slice(filter.length + 1);
}
if (asked.includes("dark") || asked.includes("light")) document.documentElement.dataset.theme = asked.includes("dark") ? "dark" : "light";
setAxis(asked.includes("time") ? "time" : "steps");
applyFilters();
if (asked.includes("fit")) fit();
stays = run.caught !== null && !asked.includes("top");
if (stays) toEnd();
draw();
view.focus({ preventScroll: true });
