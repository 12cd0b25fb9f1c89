// What is to be drawn: lanes, steps that the filters leave, and where each stands.
const run = JSON.parse(document.getElementById("run").textContent);

// The fields of a step and of a span, as `data.rs` writes them.
const THREAD = 0, NOW = 1, OP = 2, OBJECT = 3, SITE = 4, OBJECT_ID = 5, PACKET = 6, OTHER = 7;
const S_THREAD = 0, S_WHAT = 1, S_OBJECT = 2, S_FROM = 3, S_TO = 4, S_SLOT = 5, S_DEADLINE = 6;

const events = run.events;
const isNetwork = event => event[THREAD] === run.network;
// Names of threads may come more than once: then their numbers stand behind.
const timesNamed = new Map();
for (const [name] of run.threads) timesNamed.set(name, (timesNamed.get(name) || 0) + 1);
function threadName(thread) {
  if (thread === run.network) return "network";
  if (!run.threads[thread]) return "?";
  const name = run.threads[thread][0];
  return timesNamed.get(name) > 1 ? `${name} #${thread}` : name;
}
const verb = event => run.ops[event[OP]][0];
const family = event => run.ops[event[OP]][1];
const opName = event => run.ops[event[OP]][2];
const objectText = event => run.strings[event[OBJECT]];
const siteText = event => run.strings[event[SITE]];
const told = event => threadName(event[THREAD]) + " " + verb(event) + (objectText(event) ? " " + objectText(event) : "");
// The number of a step in the whole run, of which the middle may be left out.
const numberOf = index => index < run.gap[0] ? index : index + run.gap[1];

// Lanes stand by host, and in the order of spawning.
const lanes = [];
const laneOf = new Map();
{
  const seen = new Set(events.map(event => event[THREAD]));
  run.spans.forEach(span => seen.add(span[S_THREAD]));
  run.involved.forEach(part => seen.add(part.thread));
  const order = run.threads.map((_, thread) => thread).filter(thread => seen.has(thread) || thread === 0);
  order.sort((a, b) => run.threads[a][1] - run.threads[b][1] || a - b);
  for (const thread of order) {
    laneOf.set(thread, lanes.length);
    lanes.push({ thread, name: threadName(thread), host: run.threads[thread][1] });
  }
}
const hasHosts = new Set(lanes.map(lane => lane.host)).size > 1 || run.packets.length > 0 && run.hosts.length > 1;

// Locks have letters and colours, in the order in which they are taken. Red is kept for what was found.
const HUES = [212, 155, 36, 285, 180, 325, 95, 250];
const locks = new Map();
const objectNames = new Map(run.objects);
for (const span of run.spans) {
  if ((span[S_WHAT] === "held" || span[S_WHAT] === "lock") && !locks.has(span[S_OBJECT])) {
    const place = locks.size;
    const letter = String.fromCharCode(65 + place % 26) + (place < 26 ? "" : Math.floor(place / 26));
    locks.set(span[S_OBJECT], { letter, colour: `hsl(${HUES[place % HUES.length]} 60% 45%)`, ink: `hsl(${HUES[place % HUES.length]} 65% var(--letter))`, name: objectNames.get(span[S_OBJECT]) || "?" });
  }
}
const objectLabel = id => locks.has(id) ? `${locks.get(id).letter} (${objectNames.get(id) || "?"})` : objectNames.get(id) || "?";

// When each thread begins, and with which step it ends.
const lifetimes = new Map();
events.forEach((event, index) => {
  const life = lifetimes.get(event[THREAD]) || { from: index, to: null };
  if (opName(event) === "End") life.to = index;
  lifetimes.set(event[THREAD], life);
  if (opName(event) === "Spawn" && event[OTHER] !== null && !lifetimes.has(event[OTHER])) {
    lifetimes.set(event[OTHER], { from: index, to: null });
  }
});

const involvedThreads = new Set(run.involved.map(part => part.thread));
const involvedSteps = new Set(run.involved.map(part => part.step).filter(step => step !== null));
const deviationAt = new Map();
for (const [step, place, kind, text, preempts] of run.deviations) {
  if (!deviationAt.has(step)) deviationAt.set(step, []);
  deviationAt.get(step).push({ place, kind, text, preempts });
}

// Whether a span is part of what was found: the held lock, or the wait that never ended.
function isInvolved(span) {
  return run.involved.some(part => {
    if (part.thread !== span[S_THREAD]) return false;
    if (span[S_WHAT] === "held") return part.deed === "Holds" && part.object === span[S_OBJECT] && (span[S_TO] === null || part.step === span[S_FROM]);
    if (span[S_TO] !== null) return false;
    return part.deed === "WaitsFor" || part.deed === "Joins" || part.deed === "WaitsOn";
  });
}
for (const span of run.spans) span.involved = isInvolved(span);

// What the parts of a finding have to do with each other: an arrow from one thread to another, or to nobody.
const relations = [];
const cutReason = text => text.length > 160 ? text.slice(0, 159) + "\u2026" : text;
{
  const parts = run.involved;
  const accesses = parts.filter(part => ["Reads", "Writes", "Uses", "Releases"].includes(part.deed));
  for (const part of parts) {
    const isPotential = run.caught === "potential-deadlock", who = threadName(part.thread);
    const what = part.object !== null ? objectLabel(part.object) : part.other !== null ? threadName(part.other) : part.what;
    const text = `${who} ${isPotential && part.deed === "WaitsFor" ? "asks for" : part.verb} ${what}`;
    if (part.deed === "WaitsFor") {
      const holders = parts.filter(other => other.deed === "Holds" && other.object === part.object);
      for (const holder of holders) {
        relations.push({ from: part.thread, to: holder.thread, text: text + (isPotential ? `, and ${threadName(holder.thread)} has them in the other order` : `, held by ${threadName(holder.thread)}`), site: part.site, step: part.step });
      }
      if (holders.length === 0) relations.push({ from: part.thread, to: null, text, site: part.site, step: part.step });
    } else if (part.deed === "Joins") {
      relations.push({ from: part.thread, to: part.other, text, site: part.site, step: part.step });
    } else if (part.deed === "WaitsOn" || part.deed === "Operates") {
      relations.push({ from: part.thread, to: null, text, site: part.site, step: part.step });
    } else if (part.deed === "Holds" && !parts.some(other => other.deed === "WaitsFor" && other.object === part.object)) {
      relations.push({ from: part.thread, to: null, text, site: part.site, step: part.step });
    }
  }
  accesses.forEach((part, place) => {
    const next = accesses[place + 1];
    const text = `${threadName(part.thread)} ${part.verb} ${objectLabel(part.object)}`;
    relations.push({ from: part.thread, to: next ? next.thread : null, text, site: part.site, step: part.step, both: run.caught === "race" });
  });
  relations.splice(16);
  // Of what nobody in particular is part there is the reason alone.
  if (run.caught && relations.length === 0) relations.push({ from: null, to: null, text: cutReason(run.reason), site: "", step: null });
}

// The longest text beside the lanes, in characters.
let longest = 60;
events.forEach((event, index) => {
  const choices = (deviationAt.get(index) || []).reduce((length, choice) => length + choice.text.length + 4, 0);
  longest = Math.max(longest, told(event).length + siteText(event).length + choices + 6);
});
for (const relation of relations) longest = Math.max(longest, relation.text.length + relation.site.length + 6);

// What the reader has chosen.
const chosen = { axis: "steps", rowHeight: 22, pxPerNs: 0, laneWidth: 0, wider: 1, thread: "", object: "", kind: "", text: "", selected: null };

// The steps that the filters leave, by index.
let shown = [];
function filter() {
  const text = chosen.text.trim().toLowerCase();
  const matches = (event, index) => {
    if (chosen.thread !== "" && String(event[THREAD]) !== chosen.thread) return false;
    if (chosen.object !== "" && String(event[OBJECT_ID]) !== chosen.object) return false;
    if (chosen.kind !== "" && family(event) !== chosen.kind) return false;
    if (text === "") return true;
    const choices = (deviationAt.get(index) || []).map(choice => choice.kind + " " + choice.text).join(" ");
    return (told(event) + " " + siteText(event) + " " + choices).toLowerCase().includes(text);
  };
  shown = [];
  events.forEach((event, index) => { if (matches(event, index)) shown.push(index); });
}

const TOP = 14, GUTTER = 124, TEXT_GAP = 22, RELATION_HEIGHT = 24;
const layout = { bottom: 0, height: 0, width: 0, textX: 0 };
const firstNs = events.length ? Math.min(...[0, events.length - 1].map(at => events[at][NOW])) : 0;
let lastNs = firstNs;
for (const event of events) lastNs = Math.max(lastNs, event[NOW]);

// The row of the first shown step that is not before this one.
function rowOf(index) {
  let low = 0, high = shown.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (shown[middle] < index) low = middle + 1; else high = middle;
  }
  return low;
}
const timeY = ns => TOP + 8 + (ns - firstNs) * chosen.pxPerNs;
function rowY(row) {
  if (chosen.axis === "time") return timeY(events[shown[row]][NOW]);
  return TOP + (row + 0.5) * chosen.rowHeight;
}
// Where a step stands that may be filtered out.
function stepY(index) {
  if (index === null) return layout.bottom;
  if (chosen.axis === "time") return timeY(events[index][NOW]);
  const row = rowOf(index);
  return row < shown.length && shown[row] === index ? rowY(row) : TOP + row * chosen.rowHeight;
}
const laneX = lane => GUTTER + (lane + 0.5) * chosen.laneWidth;
const threadX = thread => laneX(laneOf.has(thread) ? laneOf.get(thread) : 0);

function arrange(viewWidth, viewHeight) {
  const room = (viewWidth - GUTTER - Math.min(760, longest * 6.6)) / Math.max(1, lanes.length);
  chosen.laneWidth = Math.min(320, Math.max(36, Math.max(58, Math.min(150, Math.floor(room))) * chosen.wider));
  if (chosen.pxPerNs === 0) chosen.pxPerNs = Math.max(200, viewHeight - 120 - relations.length * RELATION_HEIGHT) / Math.max(1, lastNs - firstNs);
  layout.textX = GUTTER + lanes.length * chosen.laneWidth + TEXT_GAP;
  layout.width = Math.max(viewWidth, layout.textX + longest * 6.8);
  layout.bottom = (chosen.axis === "time" ? timeY(lastNs) + 12 : TOP + shown.length * chosen.rowHeight) + 4;
  layout.height = layout.bottom + (relations.length ? relations.length * RELATION_HEIGHT + 30 : 20) + 12;
}

function milliseconds(ns, digits) {
  return (ns / 1e6).toFixed(digits === undefined ? 2 : digits);
}
