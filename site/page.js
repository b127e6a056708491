// The page itself: state, controls, and what is asked of the worker. SITE, on the first line of the built file, holds what the build knows.

const $ = (id) => document.getElementById(id);
const state = { clip: null, name: "", partner: SITE.partner, total: 0, norm: "layer", mask: "on", turns: 0 };

// ---- data: scripts that call w2vData(name, value), because fetch may not read files beside a page opened from a folder
const waiting = {}, loaded = {};
window.w2vData = (name, value) => waiting[name]?.(value);
function load(name) {
  return (loaded[name] ??= new Promise((resolve, reject) => {
    waiting[name] = resolve;
    document.body.append(Object.assign(document.createElement("script"), { src: `data/${name}.js`,
      onerror: () => { delete loaded[name]; reject(new Error(`data/${name}.js could not be loaded`)); } }));
  }));
}
const storedClip = async (name) => fromBase64((await load(`clip_${name}`)).samples);

// ---- the worker: one answer per question, the last few kept
const source = $("model-source").textContent;
const worker = new Worker(URL.createObjectURL(new Blob([source, $("worker-source").textContent], { type: "text/javascript" })));
const answers = new Map(), pending = {}, ready = {};
let questions = 0;
worker.onmessage = ({ data: { id, ...answer } }) => { pending[id](answer); delete pending[id]; };

/** Hand a checkpoint to the worker, the first time it is needed. */
function checkpoint(norm) {
  return (ready[norm] ??= load(`digits_${norm}`).then(
    (stored) => worker.postMessage({ norm, ...stored, weights: bytesFrom(stored.weights) }),
    (error) => { delete ready[norm]; throw error; }));
}

/** The model's answer for a clip in a row of `total` samples, of which it is told that `valid` are valid (null: no mask). */
function ask(norm, clip, total, valid) {
  const known = answers.get(clip) ?? answers.set(clip, {}).get(clip), key = `${norm} ${total} ${valid}`;
  return (known[key] ??= checkpoint(norm).then(() => new Promise((resolve) => {
    pending[(questions += 1)] = resolve;
    worker.postMessage({ id: questions, norm, clip, total, valid });
  })).catch((error) => { delete known[key]; return { error: error.message }; }));
}

// ---- pictures and pointing
const alone = new Journey($("alone"), SITE.geometry, ["convolutions"], pointAt);
const padded = new Journey($("padded"), SITE.geometry, ["change"], pointAt);

function pointAt(kind, sample) {
  const { hop, receptive_field: field } = SITE.geometry;
  const frames = Number($("frame").max) + 1;
  const first = Math.max(0, Math.ceil((sample - field + 1) / hop)), last = Math.min(frames - 1, Math.floor(sample / hop));
  if (kind === "sample") {
    $("sample").value = Math.min(sample, state.clip.length - 1);
    $("sample").setAttribute("aria-valuetext", `sample ${sample}`);
    const isPadding = sample >= state.clip.length;
    const readers = last < first ? "no frame: it lies behind the last full window"
      : first === last ? `frame ${first} alone` : `frames ${first} and ${last}`;
    showPointed(`Sample ${spaced(sample)}, at ${(sample / RATE).toFixed(4)} s, is ${isPadding ? "padding" : `read by ${readers}`}.`);
    highlight(last < first ? sample : first * hop, last < first ? sample + 1 : last * hop + field);
  } else pointAtFrame(Math.max(0, Math.min(frames - 1, Math.round((sample - field / 2) / hop))));
}

function pointAtFrame(t) {
  const { hop, receptive_field: field } = SITE.geometry, start = t * hop;
  $("frame").value = t;
  $("frame").setAttribute("aria-valuetext", `frame ${t}`);
  showPointed(`Frame ${t} is computed from samples ${spaced(start)} to ${spaced(start + field - 1)}, ${milliseconds(field)} around ` +
    `${((start + field / 2) / RATE).toFixed(4)} s. One convolution after the other makes of its ${field} samples ` +
    `${shrinking(field).slice(0, -1).join(", ")} and at last 1 position. ${state.norm === "layer" ? "" : "Group norm adds the mean of the whole row. "}` +
    "After attention it has heard of every valid frame.");
  highlight(start, start + field);
  drawFrame($("enlarged"), state.clip, t, SITE.geometry);
}

/** Positions left of one frame's samples after each convolution: 400 -> 79, 39, 19, 9, 4, 2, 1. */
const shrinking = (samples) => SITE.geometry.kernels.map(
  (kernel, i) => (samples = Math.floor((samples - kernel) / SITE.geometry.strides[i]) + 1));
const showPointed = (sentence) => { $("pointed").textContent = sentence; };
function highlight(start, end) { for (const journey of [alone, padded]) if (journey.total) journey.highlight(start, end); }

$("frame").addEventListener("input", (event) => pointAtFrame(Number(event.target.value)));
$("sample").addEventListener("input", (event) => pointAt("sample", Number(event.target.value)));
$("hear").addEventListener("click", () => {
  const start = Number($("frame").value) * SITE.geometry.hop;
  play(state.clip, start, start + SITE.geometry.receptive_field, 4);
});
$("play").addEventListener("click", () => play(state.clip));

// ---- a new clip
function take(samples, name, notes = []) {
  const shortest = SITE.geometry.receptive_field;
  if (samples.length < shortest)
    throw new NotAClip(`${name} has ${samples.length} samples; one frame needs ${shortest} (${milliseconds(shortest)}).`);
  Object.assign(state, { clip: samples, name });
  answers.clear();
  const sentences = [`${name}: ${(samples.length / RATE).toFixed(2)} s, ${spaced(samples.length)} samples at 16 kHz.`, ...notes];
  recorderModel.setStatus(sentences.join(" "), false);
  $("sample").max = samples.length - 1;
  return choosePartner();
}

/** The row gets the length of the longer clip. */
async function choosePartner() {
  const other = state.partner ? await storedClip(state.partner) : [];
  const longest = Math.max(2 * state.clip.length, other.length);
  Object.assign($("total"), { min: state.clip.length, max: longest + 320 });
  const opening = state.turns++ === 0; // the row with which the page opens is chosen by the build
  state.total = opening ? SITE.total : Math.max(state.clip.length, other.length);
  $("total").value = state.total;
  return update();
}

async function attempt(name, action) {
  try { await action(); } catch (error) {
    const words = error instanceof NotAClip ? error.message : `${name}: ${error.message}.`;
    recorderModel.setStatus(`${words} ${state.clip ? `${state.name} stays.` : ""}`, true);
  }
}
const takeFile = (file) => attempt(file.name, async () => {
  const { samples, notes } = await readSound(await file.arrayBuffer(), file.name);
  await take(samples, file.name, notes);
});

// The package's recorder, as the lessons show it; here its messages come to this page and not to a kernel.
const titles = Object.fromEntries(SITE.clips.map(({ name, says, condition }) => [`“${says.toLowerCase()}” (${condition})`, name]));
const recorderModel = {
  values: { clips: Object.keys(titles), clip: Object.keys(titles).find((title) => titles[title] === SITE.first), longest_s: LONGEST_S, status: "", problem: false, html: "" },
  listeners: {}, parts: [],
  get(name) { return this.values[name]; },
  on(event, run) { (this.listeners[event] ??= []).push(run); },
  off() {},
  setStatus(status, problem) {
    Object.assign(this.values, { status, problem });
    for (const name of ["status", "problem", "answered"]) (this.listeners[`change:${name}`] ?? []).forEach((run) => run());
  },
  send({ kind, words, name, part, parts, rate }, _, buffers) {
    if (kind === "problem") this.setStatus(`${words} ${state.clip ? `(${state.name} stays.)` : ""}`, true);
    if (kind === "clip") attempt(name, async () => take(await storedClip(titles[name]), name));
    if (kind !== "pcm" && kind !== "file") return;
    this.parts = part ? [...this.parts, ...buffers] : [...buffers];
    if (part + 1 < parts) return;
    const bytes = new Blob(this.parts);
    if (kind === "file") takeFile(new File([bytes], name));
    else attempt("your recording", async () => {
      const recording = recorderWidget.toWav(new Float32Array(await bytes.arrayBuffer()), rate);
      const { samples, notes } = await readSound(await recording.arrayBuffer(), "your recording");
      await take(samples, "your recording", notes);
    });
  },
};
recorderWidget.render({ model: recorderModel, el: $("recorder") });

document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files.length) takeFile(event.dataTransfer.files[0]);
});

// ---- company
$("partner").append(...[["", "nobody (padding alone)"], ...SITE.clips.map(({ name, says }) => [name, `“${says.toLowerCase()}”`])].map(
  ([value, words]) => make("option", { value }, words)));
$("partner").value = state.partner;
$("partner").addEventListener("change", (event) => { state.partner = event.target.value; choosePartner(); });
$("total").addEventListener("input", (event) => { state.total = Number(event.target.value); update(); });
for (const name of ["mask", "norm"]) $(name).addEventListener("change", (event) => {
  state[name] = event.target.value;
  const switched = name === "mask" ? `the mask is ${{ on: "on", off: "off", inverted: "inverted, so that it calls the padding valid and the clip not" }[state.mask]}`
    : `the convolutions use ${state.norm} norm`;
  $("question").textContent = `Now ${switched}. Before you look: compared with the clip alone, what happens to its text?`;
  $("prediction").hidden = false;
  $("outcome").hidden = true;
  update();
});

let guess = null;
for (const button of $("prediction").querySelectorAll("button")) button.addEventListener("click", () => {
  guess = button.dataset.answer;
  $("prediction").hidden = true;
  $("outcome").hidden = false;
  $("verdict").focus(); // the button that had the focus is gone
  update();
});

/** Why it is so, for the present switches. */
function reason() {
  const extra = state.total - state.clip.length, { norm, mask } = state;
  if (!extra) return "Your clip is the longest of the batch: nothing is padded. Make the row longer to see a difference.";
  const inverted = `The mask calls ${spaced(extra)} samples valid instead of ${spaced(state.clip.length)}. Most libraries only count them, from the left` +
    `${extra === state.clip.length ? ", and both counts happen to be equal, so nothing shows. " : ": the model then reads another number of frames than the clip has. "}` +
    "The package of this course raises an error instead. ";
  const group = "Group norm takes mean and variance over the whole row, padding included, before any mask acts. No later mask can undo that. ";
  const layer = "Layer norm looks at one frame at a time, so the convolutions keep padding out. ";
  const on = norm === "layer" ? "The mask sets the padded frames to zero, and attention does not ask them: the clip’s own frames are what they are alone, up to rounding. "
    : "The mask then keeps attention away from the padding, which helps and does not repair. ";
  const off = "Without a mask, positions and attention read the padded frames as if they were sound. ";
  return (norm === "layer" ? layer : group) + { on, off, inverted }[mask];
}

/** Letters of `after` that `before` does not have are marked: longest common subsequence. */
function marked(before, after) {
  const table = Array.from({ length: before.length + 1 }, () => new Array(after.length + 1).fill(0));
  for (let i = before.length - 1; i >= 0; i--) for (let j = after.length - 1; j >= 0; j--)
    table[i][j] = before[i] === after[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
  const nodes = [];
  for (let i = 0, j = 0; j < after.length; ) {
    if (i < before.length && before[i] === after[j]) { nodes.push(after[j]); i++; j++; }
    else if (i < before.length && table[i + 1][j] >= table[i][j + 1]) i++;
    else nodes.push(make("mark", {}, after[j++]));
  }
  return nodes;
}

const nothing = "(no letter)";
function showCompany(plain, answer) {
  $("text-alone").textContent = plain.text || nothing;
  $("why").textContent = reason();
  if (answer.error) {
    $("text-company").textContent = "the model refuses";
    $("text-change").textContent = answer.error;
    $("verdict").textContent = "No frame is valid for the model, so there is nothing to compute.";
    return;
  }
  $("text-company").replaceChildren(...(answer.text ? marked(plain.text, answer.text) : [nothing]));
  const moved = Math.max(...movedFrames(answer, plain)), same = plain.text === answer.text;
  const largest = plain.hiddenStates.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  $("text-change").textContent = `${same ? "not the text" : "the text"}; the clip’s features moved by ` +
    `${moved < 1e-4 ? "nothing" : `up to ${moved.toPrecision(2)}`} (the largest of them is ${largest.toPrecision(2)})`;
  const stays = same ? "stays" : "changes";
  const score = guess ? (guess === stays ? "You predicted that, rightly. " : `You predicted that it ${guess}. `) : "";
  $("verdict").textContent = `${same ? "The text stays." : "The text changes."} ${score}` +
    (same && moved >= 1e-4 ? "Its features do move, though; another clip may lose a letter." : "");
  padded.draw(state.clip, state.total, answer, plain);
}

// ---- everything anew, the newest state only
let busy = false, again = false;
async function update() {
  again = true;
  if (busy) return;
  busy = true;
  while (again) { again = false; await showNow(); }
  busy = false;
  document.body.dataset.turn = Number(document.body.dataset.turn ?? 0) + 1; // for tests: all is shown
}

async function showNow() {
  const { clip, total, norm, mask } = state;
  $("total-value").textContent = `${spaced(total)} samples, ${spaced(total - clip.length)} of them padding`;
  if (!ready[norm]) $("heard").replaceChildren(make("span", { class: "quiet" }, "loading the model …"));
  const plain = await ask(norm, clip, clip.length, null);
  if (plain.error) return $("heard").replaceChildren(make("span", { class: "quiet" }, `⚠ ${plain.error}`));
  if ($("heard").textContent !== plain.text) $("heard").textContent = plain.text || "… no letter heard";
  $("time").textContent = `${spaced(clip.length)} samples → ${plain.frames} frames → ${plain.text.length} characters, in ${plain.milliseconds.toFixed(0)} ms.` +
    (plain.unsure ? ` ⚠ The model is unsure (mean confidence ${plain.confidence.toFixed(2)}): it knows digits only, and not every voice.` : "");
  if (alone.shown !== plain) {
    alone.shown = plain;
    $("frame").max = plain.frames - 1;
    alone.draw(clip, clip.length, plain);
    $("frame").value = plain.pieces[0]?.start ?? 0;
  }
  const padding = total - clip.length;
  const valid = { on: padding ? clip.length : null, off: null, inverted: padding }[mask]; // without padding a mask says nothing
  const answer = await ask(norm, clip, total, valid);
  if (state.clip !== clip) return;
  if (!$("outcome").hidden) { showCompany(plain, answer); guess = null; }
  pointAtFrame(Math.min(Number($("frame").value), plain.frames - 1));
}

let width = innerWidth;
addEventListener("resize", () => { // letters are placed in pixels
  if (innerWidth === width || !alone.shown) return;
  width = innerWidth;
  alone.shown = null;
  update();
});

// ---- all that is left: the model's text, the first clip, the explorer
$("source").textContent = source.trim();
attempt(SITE.first, async () => {
  await take(await storedClip(SITE.first), recorderModel.values.clip);
  const near = new IntersectionObserver(async ([entry]) => { // its formulas are read when a reader comes near
    if (!entry.isIntersecting) return;
    near.disconnect();
    const explorer = await load("explorer");
    $("explorer-here").replaceChildren();
    explorerWidget.mount($("explorer-here"), explorer);
  }, { rootMargin: "1500px" });
  near.observe($("explorer-here"));
});
