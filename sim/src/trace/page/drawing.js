// Draws what is in view. Text is put in as text only, so nothing in a name can be markup.
const SVG = "http://www.w3.org/2000/svg";
const view = document.getElementById("view"), world = document.getElementById("world");
const canvas = document.getElementById("canvas"), names = document.getElementById("names");
// Runs with so many rows are drawn whole: they can be printed and searched.
const WHOLE_ROWS = 1500, MARGIN = 600, LABEL_HEIGHT = 13, NAMES_HEIGHT = 42, WAIT_LABEL_EVERY = 440;

function node(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  return made;
}
function titled(element, text) {
  element.append(node("title", {}, text));
  return element;
}
function cut(text, characters) {
  return text.length > characters ? text.slice(0, Math.max(1, characters - 1)) + "\u2026" : text;
}
const fits = width => Math.floor(width / 6.7);

function drawNames() {
  names.replaceChildren();
  names.setAttribute("width", layout.width);
  names.setAttribute("height", NAMES_HEIGHT);
  names.append(node("text", { x: GUTTER - 58, y: 34, class: "small time" }, "ms"));
  names.append(node("text", { x: GUTTER - 18, y: 34, class: "small number" }, "step"));
  names.append(node("text", { x: layout.textX, y: 34, class: "small" }, "what happens, and where"));
  lanes.forEach((lane, place) => {
    const begins = place === 0 || lanes[place - 1].host !== lane.host;
    if (hasHosts && begins) {
      const count = lanes.filter(other => other.host === lane.host).length;
      const x = GUTTER + place * chosen.laneWidth, width = count * chosen.laneWidth;
      const host = run.hosts[lane.host] || ["?", ""];
      names.append(node("line", { x1: x + 6, x2: x + width - 6, y1: 18.5, y2: 18.5, class: "host-line" }));
      const label = "host " + host[0] + (fits(width) > host[0].length + host[1].length + 8 ? " " + host[1] : "");
      names.append(titled(node("text", { x: x + 8, y: 13, class: "host-name host", "data-host": host[0] }, cut(label, fits(width) - 1)), host.join(" ")));
    }
    const involved = involvedThreads.has(lane.thread) ? " involved" : "";
    const label = cut(lane.name, fits(chosen.laneWidth));
    const name = node("text", { x: laneX(place), y: 34, class: "lane-name" + involved, "data-thread": lane.thread }, label);
    names.append(titled(name, lane.name));
  });
}

const isWhole = () => shown.length <= WHOLE_ROWS && layout.height < 60000;
let pending = false;
function redraw() {
  if (!pending) {
    pending = true;
    requestAnimationFrame(() => { pending = false; draw(); });
  }
}

function draw() {
  arrange(view.clientWidth, view.clientHeight);
  world.style.width = layout.width + "px";
  world.style.height = layout.height + "px";
  drawNames();
  const whole = isWhole();
  const top = whole ? 0 : Math.max(0, view.scrollTop - MARGIN);
  const bottom = whole ? layout.height : Math.min(layout.height, view.scrollTop + view.clientHeight + MARGIN);
  canvas.style.top = top + "px";
  canvas.classList.toggle("dense", isDense());
  canvas.setAttribute("width", layout.width);
  canvas.setAttribute("height", Math.max(1, bottom - top));
  canvas.setAttribute("viewBox", `0 ${top} ${layout.width} ${Math.max(1, bottom - top)}`);
  const into = document.createDocumentFragment();
  const rows = rowsBetween(top, bottom);
  drawGround(into, top, bottom);
  drawRules(into, rows, top, bottom);
  // Rows are pointed at where nothing else is: bars and arrows say what they are themselves.
  hits = into.appendChild(node("g", {}));
  drawSpans(into, top, bottom);
  drawSpawns(into, rows);
  drawPackets(into, top, bottom);
  drawRows(into, rows);
  if (bottom >= layout.bottom) drawFinding(into);
  canvas.replaceChildren(into);
}

// The rows between two heights. On the axis of time the steps of loom are not in the order of theirs, so all are looked at.
function rowsBetween(top, bottom) {
  if (chosen.axis === "time") {
    const rows = [];
    for (let row = 0; row < shown.length; row++) {
      const y = rowY(row);
      if (y >= top - 20 && y <= bottom + 20) rows.push(row);
    }
    return rows.sort((a, b) => rowY(a) - rowY(b) || a - b);
  }
  const from = Math.max(0, Math.floor((top - TOP) / chosen.rowHeight) - 1);
  const to = Math.min(shown.length, Math.ceil((bottom - TOP) / chosen.rowHeight) + 1);
  return Array.from({ length: Math.max(0, to - from) }, (_, place) => from + place);
}

function drawGround(into, top, bottom) {
  let band = false;
  lanes.forEach((lane, place) => {
    if (place > 0 && lanes[place - 1].host !== lane.host) band = !band;
    const x = GUTTER + place * chosen.laneWidth;
    if (band) into.append(node("rect", { x, y: top, width: chosen.laneWidth, height: bottom - top, class: "band" }));
    if (place > 0 && lanes[place - 1].host !== lane.host) into.append(node("line", { x1: x, x2: x, y1: top, y2: bottom, class: "host-line" }));
    const life = lifetimes.get(lane.thread);
    if (!life) return;
    const from = place === 0 ? TOP - 6 : stepY(life.from), to = life.to === null ? layout.bottom : stepY(life.to);
    into.append(node("line", { x1: laneX(place), x2: laneX(place), y1: from, y2: to, class: "life lane", "data-thread": lane.thread }));
    if (life.to !== null) into.append(node("line", { x1: laneX(place) - 6, x2: laneX(place) + 6, y1: to + 5, y2: to + 5, class: "life-end" }));
  });
  const [gap, leftOut] = run.gap;
  if (leftOut > 0) {
    const y = stepY(gap);
    into.append(node("line", { x1: 0, x2: layout.width, y1: y, y2: y, class: "race" }));
    into.append(node("text", { x: layout.textX + 260, y: y - 3, class: "small" }, `${leftOut} steps are left out here`));
  }
}

// Where time passes, or, on its own axis, its scale.
function drawRules(into, rows, top, bottom) {
  const rule = (y, text, className) => {
    into.append(node("line", { x1: GUTTER - 4, x2: layout.width, y1: y, y2: y, class: "rule" }));
    into.append(node("text", { x: GUTTER - 58, y: y + 4, class: "time small " + className }, text));
  };
  if (chosen.axis === "time") {
    const rough = 70 / chosen.pxPerNs, power = 10 ** Math.floor(Math.log10(rough));
    const tick = [1, 2, 5, 10].map(times => times * power).find(size => size >= rough);
    const digits = Math.max(0, Math.min(6, Math.ceil(6 - Math.log10(tick))));
    for (let at = Math.ceil(firstNs / tick) * tick; at <= lastNs; at += tick) {
      const y = timeY(at);
      if (y >= top && y <= bottom) rule(y, milliseconds(at, digits), "");
    }
    return;
  }
  let last = -100;
  for (const row of rows) {
    const now = events[shown[row]][NOW], before = row > 0 ? events[shown[row - 1]][NOW] : null;
    const y = rowY(row);
    if (now === before || y - last < LABEL_HEIGHT) continue;
    last = y;
    if (before === null) {
      into.append(node("text", { x: GUTTER - 58, y: y + 4, class: "time small" }, milliseconds(now)));
    } else {
      into.append(node("line", { x1: 4, x2: layout.width, y1: y - chosen.rowHeight / 2, y2: y - chosen.rowHeight / 2, class: "rule" }));
      into.append(node("text", { x: GUTTER - 58, y: y + 4, class: "time small passes" }, milliseconds(now)));
    }
  }
}

function drawSpans(into, top, bottom) {
  for (const span of run.spans) {
    const lane = laneOf.get(span[S_THREAD]);
    if (lane === undefined) continue;
    const y = stepY(span[S_FROM]), end = stepY(span[S_TO]);
    if (end < top || y > bottom || end - y < 1) continue;
    const isHeld = span[S_WHAT] === "held", lock = locks.get(span[S_OBJECT]);
    const step = Math.min(9, (chosen.laneWidth / 2 - 8) / 3);
    const x = isHeld ? laneX(lane) + 6 + Math.min(span[S_SLOT], 5) * step : laneX(lane) - 15;
    const width = isHeld ? Math.max(4, step - 1) : 9;
    const colour = isHeld || span[S_WHAT] === "lock" && lock ? lock.colour : "var(--faint)";
    const involved = span.involved ? " involved" : "";
    const bar = node("rect", {
      x, y, width, height: end - y, rx: 2, class: (isHeld ? "held" : "wait wait-" + span[S_WHAT]) + involved,
      "data-thread": span[S_THREAD], "data-object": isHeld || span[S_WHAT] === "lock" ? span[S_OBJECT] : "",
      fill: colour, stroke: colour, "fill-opacity": isHeld ? 0.9 : 0.14,
    });
    into.append(titled(bar, tellSpan(span)));
    const from = Math.max(y, top), height = Math.min(end, bottom) - from;
    if (isHeld) {
      if (height >= 14 && width >= 7) into.append(node("text", { x: x + width / 2, y: y + 11, class: "bar-label" }, lock.letter));
      continue;
    }
    const colours = "wait-label" + involved, words = span[S_WHAT] === "lock" ? "waits for " + (lock ? lock.letter : "") : span[S_WHAT] === "end" ? "joins " + threadName(span[S_OBJECT])
      : span[S_WHAT] === "time" ? "sleeps" : "waits";
    if (height <= words.length * 5.4 + 6) continue;
    // Again and again, as of a long wait not all is in view.
    for (let at = y + Math.min(end - y, 160) / 2; at < Math.min(end, bottom); at += WAIT_LABEL_EVERY) {
      if (at > top) into.append(node("text", { x: x - 4, y: at, transform: `rotate(-90 ${x - 4} ${at})`, class: colours }, words));
    }
  }
}

function tellSpan(span) {
  const end = span[S_TO] === null ? "to the end of the run" : "to step " + numberOf(span[S_TO]);
  const what = { held: "holds ", lock: "waits for ", wakeup: "waits on ", end: "waits for the end of ", time: "sleeps" }[span[S_WHAT]];
  const object = span[S_WHAT] === "end" ? threadName(span[S_OBJECT]) : span[S_WHAT] === "time" ? "" : objectLabel(span[S_OBJECT]);
  const deadline = span[S_DEADLINE] === null ? "" : `, until ${milliseconds(span[S_DEADLINE])} ms at the latest`;
  return `${threadName(span[S_THREAD])} ${what}${object}, from step ${numberOf(span[S_FROM])} ${end}${deadline}`;
}

function drawSpawns(into, rows) {
  if (rows.length > 2 * WHOLE_ROWS) return;
  for (const row of rows) {
    const event = events[shown[row]];
    if (opName(event) !== "Spawn" || event[OTHER] === null || !laneOf.has(event[OTHER])) continue;
    const y = rowY(row), from = threadX(event[THREAD]), to = threadX(event[OTHER]);
    const side = Math.sign(to - from);
    into.append(node("line", { x1: from, x2: to - side * 4, y1: y, y2: y, class: "spawn" }));
    into.append(node("circle", { cx: to, cy: y, r: 3, class: "dot threads" }));
  }
}

// So many rows in so little room that heads of arrows would hide them.
const isDense = () => chosen.axis === "steps" && chosen.rowHeight < 2;

function arrowHead(into, x, y, fromX, fromY, className) {
  const angle = Math.atan2(y - fromY, x - fromX), wing = 0.42, size = 10;
  const at = turn => `${x - size * Math.cos(angle + turn)},${y - size * Math.sin(angle + turn)}`;
  into.append(node("polygon", { points: `${x},${y} ${at(wing)} ${at(-wing)}`, class: className }));
}

// Labels of packets that would stand on another are left out; each arrow says its packet where the pointer rests.
let labels = [];
function drawLabel(into, x, y, className, text, anchor) {
  const width = text.length * 6.2, left = anchor === "start" ? x : anchor === "end" ? x - width : x - width / 2;
  const box = { left, right: left + width, top: y - 10, bottom: y + 3 };
  if (labels.some(other => box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom)) return;
  labels.push(box);
  into.append(node("text", { x, y, class: "packet-label " + className, style: "text-anchor: " + anchor }, text));
}

function drawPackets(into, top, bottom) {
  labels = [];
  for (const packet of run.packets) {
    const from = threadX(events[packet.sent][THREAD]), sentY = stepY(packet.sent);
    const hostLanes = lanes.filter(lane => lane.host === packet.toHost);
    const last = packet.arrived.length ? packet.arrived[packet.arrived.length - 1] : packet.lost.length ? packet.lost[0] : packet.sent;
    if (Math.max(stepY(last), sentY) < top || sentY > bottom) continue;
    const reader = copy => packet.received.length > copy ? events[packet.received[copy]][THREAD] : null;
    const anyReader = readersOf.get(packet.to);
    const target = copy => {
      const thread = reader(copy) !== null ? reader(copy) : anyReader !== undefined ? anyReader : hostLanes.length ? hostLanes[hostLanes.length - 1].thread : null;
      return thread === null ? from + chosen.laneWidth : threadX(thread);
    };
    const isHarmed = packet.harmed.length > 0, label = `${packet.number}: ${packet.length} B`;
    packet.arrived.forEach((arrived, copy) => {
      const kind = copy > 0 ? "copy" : isHarmed && !onlyCopied(packet) ? "harmed" : "plain";
      const what = copy > 0 ? label + " (copy)" : kind === "harmed" ? `${packet.number}: ${harm(packet)}` : label;
      drawArrow(into, from, sentY, target(copy), stepY(arrived), kind, what, packet, copy);
      if (packet.received.length > copy) {
        const taken = packet.received[copy], x = threadX(events[taken][THREAD]);
        into.append(node("line", { x1: x - 5, x2: x - 5, y1: stepY(arrived), y2: stepY(taken), class: "taken" }));
      }
    });
    if (packet.lost.length) {
      const y = stepY(packet.lost[0]), to = target(0);
      const side = Math.sign(to - from) || 1, x = to === from ? from + 40 : from + (to - from) * 0.55;
      const way = node("line", { x1: from, y1: sentY, x2: x, y2: y, class: "packet arrow lost", "data-packet": packet.number });
      into.append(titled(way, tellPacket(packet)));
      into.append(node("line", { x1: x - 5, x2: x + 5, y1: y - 5, y2: y + 5, class: "cross" }));
      into.append(node("line", { x1: x - 5, x2: x + 5, y1: y + 5, y2: y - 5, class: "cross" }));
      if (chosen.rowHeight >= 12 || chosen.axis === "time") {
        drawLabel(into, x + side * 10, y + 4, "lost", packet.number + " lost", side > 0 ? "start" : "end");
      }
    } else if (packet.arrived.length === 0) {
      const to = target(0), side = Math.sign(to - from) || 1;
      const way = node("line", { x1: from, y1: sentY, x2: from + side * Math.min(60, Math.abs(to - from) * 0.5), y2: sentY, class: "packet arrow on-its-way", "data-packet": packet.number });
      into.append(titled(way, tellPacket(packet) + ": on its way when the run ended"));
    }
  }
}

// Who took a packet at an address: arrows to it that nobody took end there too.
const readersOf = new Map();
for (const packet of run.packets) {
  for (const taken of packet.received) if (!readersOf.has(packet.to)) readersOf.set(packet.to, events[taken][THREAD]);
}
const onlyCopied = packet => packet.fate.every(fate => fate === "it is duplicated");
const harm = packet => cut(packet.fate.find(fate => fate !== "it is duplicated") || "harmed", 22);
function tellPacket(packet) {
  return `packet ${packet.number}, ${packet.length} bytes, ${packet.from} to ${packet.to}` + packet.fate.map(fate => "; " + fate).join("");
}

function drawArrow(into, from, y1, to, y2, kind, label, packet, copy) {
  const attributes = { class: "packet arrow " + kind, "data-packet": packet.number, "data-copy": copy };
  if (from === to) {
    const bend = from + 34;
    into.append(titled(node("path", { ...attributes, d: `M ${from} ${y1} C ${bend} ${y1} ${bend} ${y2} ${from + 6} ${y2}` }), tellPacket(packet)));
    arrowHead(into, from + 5, y2, from + 16, y2 - 2, "head " + kind);
    return;
  }
  const side = Math.sign(to - from);
  into.append(titled(node("line", { ...attributes, x1: from, y1, x2: to - side * 8, y2 }), tellPacket(packet)));
  if (!isDense()) arrowHead(into, to - side * 5, y2, from, y1, "head " + kind);
  const steep = Math.abs(y2 - y1) > 3 * Math.abs(to - from);
  if (!steep && (chosen.rowHeight >= 14 || chosen.axis === "time") && Math.abs(to - from) > 50) {
    // Between the sender's lane and the next.
    const share = Math.min(0.5, chosen.laneWidth * 0.5 / Math.abs(to - from));
    drawLabel(into, from + (to - from) * share, y1 + (y2 - y1) * share - 4, kind, label, "middle");
  }
}

let hits = null;
const hit = (y, height, data) => hits.appendChild(node("rect", { x: 0, y: y - height / 2, width: layout.width, height, class: "hit", ...data }));

// Dots in the lanes, and texts beside them: of steps too close to each other, how many there are.
function drawRows(into, rows) {
  let group = [], drawn = new Set();
  const flush = () => {
    if (group.length === 1) drawText(into, group[0]); else if (group.length > 1) drawGroup(into, group);
    group = [];
  };
  for (const row of rows) {
    const index = shown[row], event = events[index], y = rowY(row);
    if (group.length && y - rowY(group[0]) >= LABEL_HEIGHT) flush();
    group.push(row);
    const place = event[THREAD] + ":" + Math.round(y);
    const isMarked = involvedSteps.has(index) || index === chosen.selected;
    if (!isNetwork(event) && laneOf.has(event[THREAD]) && (!drawn.has(place) || isMarked)) {
      drawn.add(place);
      const x = threadX(event[THREAD]), size = chosen.rowHeight < 8 && chosen.axis === "steps" ? 2.4 : 4;
      into.append(node("circle", { cx: x, cy: y, r: size, class: "dot " + family(event).split(" ")[0], "data-step": index }));
      if (involvedSteps.has(index)) into.append(node("circle", { cx: x, cy: y, r: 7.5, class: "ring", "data-step": index }));
    }
    for (const choice of deviationAt.get(index) || []) {
      const x = GUTTER - 7, at = chosen.axis === "time" ? y : y - chosen.rowHeight / 2;
      into.append(titled(node("path", { d: `M ${x} ${at - 5} L ${x + 5} ${at} L ${x} ${at + 5} L ${x - 5} ${at} Z`, class: "diamond", "data-choice": choice.place }), tellChoice(choice)));
    }
  }
  flush();
}
const tellChoice = choice => `choice ${choice.place}, ${choice.kind}: ${choice.text}`;

function drawText(into, row) {
  const index = shown[row], event = events[index], y = rowY(row);
  if (chosen.selected === index) {
    into.append(node("rect", { x: 0, y: y - 10, width: layout.width, height: 20, class: "selected-row" }));
    if (laneOf.has(event[THREAD])) into.append(node("line", { x1: threadX(event[THREAD]), x2: layout.textX - 6, y1: y, y2: y, class: "guide" }));
  }
  into.append(node("text", { x: GUTTER - 18, y: y + 4, class: "small number" }, numberOf(index)));
  const text = node("text", { x: layout.textX, y: y + 4, class: "step-text" + (involvedSteps.has(index) ? " involved" : ""), "data-step": index });
  const lock = event[OBJECT_ID] !== null && locks.get(event[OBJECT_ID]);
  if (lock && objectText(event) === lock.name) {
    text.append(`${threadName(event[THREAD])} ${verb(event)} `, node("tspan", { class: "letter", style: `fill: ${lock.ink}` }, lock.letter), ` ${lock.name}`);
  } else {
    text.append(told(event));
  }
  text.append(node("tspan", { class: "small", dx: 8 }, siteText(event)));
  for (const choice of deviationAt.get(index) || []) text.append(node("tspan", { class: "small choice", dx: 10 }, "\u25c6 " + choice.text));
  into.append(text);
  hit(y, 18, { "data-step": index });
}

function drawGroup(into, group) {
  const counts = new Map();
  let involved = false;
  for (const row of group) {
    const event = events[shown[row]];
    counts.set(event[THREAD], (counts.get(event[THREAD]) || 0) + 1);
    involved = involved || involvedSteps.has(shown[row]);
  }
  const most = [...counts].sort((a, b) => b[1] - a[1]), y = rowY(group[0]);
  const who = most.slice(0, 4).map(([thread, count]) => `${threadName(thread)} ${count}`).join(", ") + (most.length > 4 ? ", ..." : "");
  into.append(node("text", { x: GUTTER - 18, y: y + 4, class: "small number" }, numberOf(shown[group[0]])));
  into.append(node("text", { x: layout.textX, y: y + 4, class: "step-text group" + (involved ? " involved" : "") }, `${group.length} steps: ${who}`));
  titled(hit(y, LABEL_HEIGHT, { "data-magnify": shown[group[0]] }), "shows these steps one by one");
}

// What was found: arrows between the threads, under the run; and a race in its place.
function drawFinding(into) {
  if (run.caught === "race" && run.involved.length > 1) {
    const [a, b] = run.involved.filter(part => part.step !== null && laneOf.has(part.thread));
    if (a && b) {
      const at = part => [threadX(part.thread), stepY(part.step)];
      const [x1, y1] = at(a), [x2, y2] = at(b);
      into.append(node("line", { x1, y1, x2, y2, class: "race racing-pair" }));
    }
  }
  const top = layout.bottom + 6;
  if (!run.caught) return;
  if (relations.length) into.append(node("rect", { x: 0, y: top, width: layout.width, height: relations.length * RELATION_HEIGHT + 14, class: "finding-zone" }));
  into.append(node("text", { x: 10, y: top + 17, class: "relation-text" }, run.caught));
  relations.forEach((relation, place) => {
    const y = top + 20 + place * RELATION_HEIGHT, x = relation.from === null ? 0 : threadX(relation.from);
    const group = node("g", { class: "cycle-edge", "data-from": relation.from === null ? "" : threadName(relation.from), "data-to": relation.to === null ? "" : threadName(relation.to) });
    if (relation.from === null) {
      // There is the text alone.
    } else if (relation.to === null || !laneOf.has(relation.to)) {
      group.append(node("circle", { cx: x, cy: y, r: 6, class: "ring" }));
    } else if (relation.to === relation.from) {
      group.append(node("path", { d: `M ${x + 5} ${y - 5} C ${x + 40} ${y - 12} ${x + 40} ${y + 12} ${x + 9} ${y + 5}`, class: "relation" }));
      arrowHead(group, x + 5, y + 4, x + 20, y + 8, "relation-head");
      group.append(node("circle", { cx: x, cy: y, r: 4, class: "relation-head" }));
    } else {
      const to = threadX(relation.to), side = Math.sign(to - x);
      group.append(node("line", { x1: x, y1: y, x2: to - side * 8, y2: y, class: "relation" }));
      if (!relation.both) group.append(node("circle", { cx: x, cy: y, r: 4, class: "relation-head" }));
      arrowHead(group, to, y, x, y, "relation-head");
      if (relation.both) arrowHead(group, x, y, to, y, "relation-head");
    }
    const text = node("text", { x: layout.textX, y: y + 4, class: "relation-text" }, relation.text);
    text.append(node("tspan", { class: "small", dx: 8 }, relation.site));
    group.append(text);
    if (relation.step !== null) group.append(node("rect", { x: 0, y: y - 10, width: layout.width, height: 20, class: "hit", "data-magnify": relation.step }));
    into.append(group);
  });
}
