// The shape explorer's front end. It evaluates the expressions it was sent (facts) and draws; it has no length formula
// of its own. State lives in the widget's traits; every change is drawn here at once and told to the kernel a little later.

const SVG = "http://www.w3.org/2000/svg";
const HOUR = 57600000; // samples in an hour at 16 kHz: the longest clip
const SPEAK_AFTER = 500; // ms of rest before a screen reader is told
const AT_ONCE = 40; // rows of the table that are filled at every move, seen or not
const FILL_AFTER = 150; // ms of rest before the others are
const RANGES = [[80000, "5 s"], [480000, "30 s"], [9600000, "10 min"], [HOUR, "1 h"]];
const EDGES = [[399, 400], [719, 720], [16000, 16080]];
const CONVENTIONS = {
  valid: "True = valid (Hugging Face)",
  padding: "True = padding (fairseq, key_padding_mask)",
  additive: "additive: 0 = valid, −3.4e38 = padding",
  lengths: "lengths: one number per clip (torchaudio)",
};

// ---- expressions: int | letter | ["+", …] | ["*", …] | ["//", a, b] | ["%", a, b] | ["max", …] | ["min", …]
function evaluate(tree, letters) {
  if (typeof tree === "number") return tree;
  if (typeof tree === "string") return letters[tree];
  const values = tree.slice(1).map((part) => evaluate(part, letters));
  switch (tree[0]) {
    case "+": return values.reduce((a, b) => a + b, 0);
    case "*": return values.reduce((a, b) => a * b, 1);
    case "//": return Math.floor(values[0] / values[1]);
    case "%": return values[0] - Math.floor(values[0] / values[1]) * values[1];
    case "max": return Math.max(...values);
    case "min": return Math.min(...values);
    default: throw new Error(`unknown operation ${tree[0]}`);
  }
}

// Every letter and label at one B and L. A clip that runs out has 0 positions from there on.
function sizes(facts, B, L) {
  const letters = { B, L };
  let gone = false;
  for (const [letter, tree] of Object.entries(facts.letters)) {
    if (letter === "B" || letter === "L") continue;
    const value = evaluate(tree, { B, L });
    gone = gone || value <= 0;
    letters[letter] = gone ? 0 : value;
  }
  const all = { ...letters };
  for (const [label, tree] of Object.entries(facts.labels)) {
    if (!(label in all)) all[label] = gone ? 0 : evaluate(tree, letters);
  }
  return all;
}

const size = (label, values) => (typeof label === "number" ? label : label in values ? values[label] : NaN);
const spaced = (number) => String(number).replace(/\B(?=(\d{3})+(?!\d))/g, "\u00a0");
const seconds = (samples, rate) => (samples / rate).toFixed(3);

function amount(number, unit, steps) {
  let index = 0;
  while (number >= 1000 && index < steps.length - 1) { number /= 1000; index += 1; }
  return `${number >= 100 || index === 0 ? Math.round(number) : number.toPrecision(3)} ${steps[index]}${unit}`;
}
const bytes = (number) => amount(number, "B", ["", "k", "M", "G", "T", "P"]);
const count = (number) => amount(number, "", ["", "thousand", "million", "billion", "trillion", "quadrillion"]).trim();

// ---- small DOM helpers
function html(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) node.setAttribute(name, value);
  node.append(...children.filter((child) => child != null));
  return node;
}

// Writes only what changed, and marks it: a sign, not only a colour.
function write(node, text, mark) {
  if (node.dataset.said === text) { if (mark) node.classList.remove("w2v-moved"); return; }
  const before = node.dataset.said;
  node.dataset.said = text;
  node.textContent = text;
  if (mark) node.classList.toggle("w2v-moved", before !== undefined);
}

let widgets = 0;

function render({ model, el }) {
  const id = `w2v${(widgets += 1)}`;
  let facts = null;
  let speaker = null;
  const local = { range: RANGES[0][0] };
  const get = (name) => model.get(name);
  const root = html("div", { class: "w2v-explorer", "data-focus": get("focus") });
  const shows = (part) => get("focus") === "all" || get("focus").split(" ").includes(part);

  function set(changes) {
    local.setting = true; // each set tells the listeners below; one drawing is enough, and a second would clear the marks
    for (const [name, value] of Object.entries(changes)) model.set(name, value);
    local.setting = false;
    draw();
    model.save_changes(); // at once: what is changed but not yet sent would be undone by the kernel's echo of an older state
  }

  // ---- the parts of the picture; each returns what redraws it
  const live = html("div", { class: "w2v-live", role: "status", "aria-live": "polite" });
  const message = html("div", { class: "w2v-message", role: "alert" });
  const parts = [];
  const section = (title, key, ...content) => {
    if (!shows(key)) return null;
    const heading = `${id}-${key}`;
    return html("section", { "aria-labelledby": heading, "data-part": key },
      html("h4", { id: heading }, title), ...content);
  };
  const option = (value, text, chosen) => html("option", { value, selected: value === chosen }, text);
  const labelled = (text, control) => html("label", {}, html("span", {}, text), control);

  // -- model: preset, norm, mask, convention, kernels
  function modelPart() {
    const preset = html("select", { "data-name": "preset", onchange: (event) => set({ preset: event.target.value }) });
    for (const name of ["base", "large", "large_lv60", "tiny"]) preset.append(option(name, name.toUpperCase()));
    const norm = html("select", { "data-name": "norm", onchange: (event) => set({ norm: event.target.value }) },
      option("group", "group norm"), option("layer", "layer norm"));
    const mask = html("input", { type: "checkbox", "data-name": "mask",
      onchange: (event) => set({ mask: event.target.checked }) });
    const kernels = html("input", { type: "text", "data-name": "kernels", size: 14, "aria-describedby": `${id}-kernels-help` });
    const strides = html("input", { type: "text", "data-name": "strides", size: 14, "aria-describedby": `${id}-kernels-help` });
    const apply = () => set({ kernels: kernels.value, strides: strides.value });
    for (const field of [kernels, strides]) {
      field.addEventListener("keydown", (event) => { event.stopPropagation(); if (event.key === "Enter") apply(); });
    }
    const help = html("span", { id: `${id}-kernels-help`, class: "w2v-help" },
      "one number per convolution, commas between; the kernel derives the formulas anew, which takes seconds");
    parts.push(() => {
      preset.value = get("preset"); norm.value = get("norm"); mask.checked = get("mask");
      if (document.activeElement !== kernels) kernels.value = get("kernels");
      if (document.activeElement !== strides) strides.value = get("strides");
    });
    return section("Model", "model",
      html("div", { class: "w2v-bar" }, labelled("preset", preset), labelled("feature encoder", norm),
        html("label", { class: "w2v-check" }, mask, html("span", {}, "hand the model a mask"))),
      html("details", {}, html("summary", {}, "custom kernels and strides"),
        html("div", { class: "w2v-bar" }, labelled("kernels", kernels), labelled("strides", strides),
          html("button", { type: "button", onclick: apply }, "apply"), help)));
  }

  // -- clips: a slider, a number and a source each
  function clipsPart() {
    const list = html("div", { class: "w2v-clips" });
    const rows = [];
    const change = (index, samples) => {
      const lengths = [...get("lengths")];
      if (lengths[index] === samples) return;
      lengths[index] = samples;
      set({ lengths });
    };
    const make = (index) => {
      const name = `clip ${index + 1}`;
      const slider = html("input", { type: "range", min: 0, step: 1, "aria-label": `${name}: length in samples`,
        "data-lm-suppress-shortcuts": "true", "data-name": `slider-${index}`,
        oninput: (event) => change(index, Number(event.target.value)) });
      slider.addEventListener("keydown", (event) => {
        const up = ["ArrowRight", "ArrowUp", "PageUp"].includes(event.key);
        const down = ["ArrowLeft", "ArrowDown", "PageDown"].includes(event.key);
        event.stopPropagation();
        if (!up && !down) return;
        event.preventDefault();
        const page = event.key.startsWith("Page");
        const hop = facts && facts.closed.T ? facts.closed.T.hop : 320;
        const step = event.altKey || (page && event.shiftKey) ? get("sample_rate") : event.shiftKey || page ? hop : 1;
        const samples = get("lengths")[index] + (up ? step : -step);
        change(index, Math.max(0, Math.min(HOUR, samples)));
      });
      const field = html("input", { type: "text", inputmode: "numeric", size: 10, "aria-label": `${name}: samples, typed`,
        "data-name": `field-${index}`, "aria-describedby": `${id}-field-${index}` });
      const wrong = html("span", { id: `${id}-field-${index}`, class: "w2v-wrong" });
      const accept = () => {
        const typed = field.value.replace(/[\s_\u00a0]/g, "");
        const samples = /^\d+$/.test(typed) ? Number(typed) : NaN;
        if (Number.isNaN(samples) || samples > HOUR) {
          wrong.textContent = `wanted a whole number of samples, 0 to ${spaced(HOUR)} (one hour); kept ${spaced(get("lengths")[index])}`;
          field.setAttribute("aria-invalid", "true");
          return;
        }
        wrong.textContent = "";
        field.removeAttribute("aria-invalid");
        change(index, samples);
      };
      field.addEventListener("change", accept);
      field.addEventListener("keydown", (event) => { event.stopPropagation(); if (event.key === "Enter") accept(); });
      const source = html("select", { "aria-label": `${name}: sound`, "data-name": `source-${index}`, onchange: (event) => {
        const sources = [...get("sources")];
        sources[index] = event.target.value;
        set({ sources });
      } });
      source.append(option("", "length only"));
      for (const built of get("examples")) source.append(option(built, `speech: ${built}`));
      const upload = html("input", { type: "file", accept: "audio/*,.wav,.flac,.ogg,.mp3", "aria-label": `${name}: upload a sound file`,
        "data-name": `upload-${index}`, onchange: async (event) => {
          const file = event.target.files[0];
          if (!file) return;
          model.send({ kind: "upload", name: file.name, clip: index }, undefined, [await file.arrayBuffer()]);
          event.target.value = "";
        } });
      const remove = html("button", { type: "button", "aria-label": `remove ${name}`, onclick: () => {
        const keep = (list) => list.filter((_, other) => other !== index);
        set({ lengths: keep(get("lengths")), sources: keep(get("sources")), envelopes: keep(get("envelopes")), clip: 0 });
      } }, "−");
      const said = html("span", { class: "w2v-said" });
      const box = html("div", { class: "w2v-clip", role: "group", "aria-label": name }, html("b", {}, name), slider, field,
        source, upload, remove, said, wrong);
      return { box, slider, field, source, remove, said, wrong };
    };
    const range = html("select", { "data-name": "range", "aria-label": "what the sliders reach", onchange: (event) => {
      local.range = Number(event.target.value); draw();
    } });
    for (const [samples, text] of RANGES) range.append(option(samples, text));
    const add = html("button", { type: "button", "data-name": "add", onclick: () => set({
      lengths: [...get("lengths"), 16000], sources: [...get("sources"), ""], envelopes: [...get("envelopes"), []] }) }, "add a clip");
    const edges = html("span", { class: "w2v-edges", role: "group", "aria-label": "edges, for clip 1" }, "edges: ");
    for (const pair of EDGES) {
      for (const samples of pair) {
        edges.append(html("button", { type: "button", "data-edge": samples, onclick: () => change(0, samples) }, spaced(samples)));
      }
    }
    parts.push((state) => {
      const lengths = get("lengths");
      while (rows.length > lengths.length) rows.pop().box.remove();
      while (rows.length < lengths.length) { rows.push(make(rows.length)); list.append(rows[rows.length - 1].box); }
      const longest = Math.max(...lengths);
      while (longest > local.range) local.range = RANGES.find(([samples]) => samples >= longest)[0];
      range.value = String(local.range);
      add.disabled = lengths.length >= 6;
      rows.forEach((row, index) => {
        row.slider.max = local.range;
        row.slider.value = lengths[index];
        row.slider.setAttribute("aria-valuetext", `${lengths[index]} samples, ${state.clips[index].T} frames`);
        if (document.activeElement !== row.field || !row.field.hasAttribute("aria-invalid")) {
          row.field.value = spaced(lengths[index]);
          if (document.activeElement !== row.field) { row.wrong.textContent = ""; row.field.removeAttribute("aria-invalid"); }
        }
        row.source.value = get("sources")[index] || "";
        row.remove.disabled = lengths.length === 1;
        write(row.said, state.clips[index].words, true);
      });
    });
    return section("Clips", "clips", list,
      html("div", { class: "w2v-bar" }, add, labelled("sliders reach", range), edges),
      html("div", { class: "w2v-help" },
        "arrow keys: 1 sample · with Shift, or Page keys: one hop · with Alt, or Shift and Page keys: one second"));
  }

  // -- the batch: waveforms, padding, unread tail
  function batchPart() {
    const width = 760, lane = 44, left = 64, right = 8;
    const canvas = svg("svg", { role: "img", class: "w2v-svg" });
    const title = svg("title", { id: `${id}-batch-title` }), desc = svg("desc", { id: `${id}-batch-desc` });
    canvas.setAttribute("aria-labelledby", `${title.id} ${desc.id}`);
    const body = svg("g");
    canvas.append(title, desc, patterns(id), body);
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      const scale = width / box.width;
      const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
      const clip = Math.floor((y - 4) / lane), lengths = get("lengths");
      const sample = Math.floor((x - left) / (width - left - right) * Math.max(...lengths));
      if (clip < 0 || clip >= lengths.length || sample < 0 || sample >= lengths[clip]) return;
      set({ clip, sample, frame: -1 });
    });
    let lanes = [];
    parts.push((state) => {
      const lengths = get("lengths"), longest = Math.max(1, ...lengths);
      const x = (sample) => left + sample / longest * (width - left - right);
      canvas.setAttribute("viewBox", `0 0 ${width} ${lengths.length * lane + 12}`);
      if (lanes.length !== lengths.length) {
        body.replaceChildren();
        lanes = lengths.map((_, index) => {
          const y = 4 + index * lane;
          const part = {
            name: svg("text", { x: 0, y: y + 24, class: "w2v-text" }, `clip ${index + 1}`),
            valid: svg("rect", { x: left, y: y + 8, height: 24, fill: "#808080", "fill-opacity": 0.35, stroke: "currentColor" }),
            wave: svg("path", { fill: "currentColor", "fill-opacity": 0.75 }),
            tail: svg("rect", { y: y + 8, height: 24, fill: `url(#${id}-tail)`, stroke: "currentColor" }),
            padding: svg("rect", { y: y + 8, height: 24, fill: `url(#${id}-padding)`, stroke: "currentColor", "stroke-dasharray": "4 3" }),
            chosen: svg("rect", { y: y + 4, height: 32, fill: "none", stroke: "currentColor", "stroke-width": 2.5 }),
            y: y + 20,
          };
          body.append(part.name, part.valid, part.wave, part.tail, part.padding, part.chosen);
          return part;
        });
      }
      lanes.forEach((part, index) => {
        const clip = state.clips[index], readUntil = clip.T ? (clip.T - 1) * state.hop + state.field : 0;
        part.valid.setAttribute("width", Math.max(0, x(lengths[index]) - left));
        part.tail.setAttribute("x", x(readUntil));
        part.tail.setAttribute("width", Math.max(0, x(lengths[index]) - x(readUntil)));
        part.padding.setAttribute("x", x(lengths[index]));
        part.padding.setAttribute("width", Math.max(0, x(longest) - x(lengths[index])));
        const peaks = get("envelopes")[index] || [];
        part.wave.setAttribute("d", peaks.length ? envelope(peaks, left, x(lengths[index]) - left, part.y, 11) : "");
        const selected = get("clip") === index && state.span;
        part.chosen.setAttribute("visibility", selected ? "visible" : "hidden");
        if (selected) {
          part.chosen.setAttribute("x", x(state.span[0]));
          part.chosen.setAttribute("width", Math.max(2, x(state.span[1]) - x(state.span[0])));
        }
      });
      title.textContent = `Batch of ${lengths.length} clip${lengths.length > 1 ? "s" : ""}, padded to ${longest} samples`;
      desc.textContent = state.clips.map((clip) => clip.words).join(". ");
    });
    return section("Batch", "batch", html("div", { class: "w2v-scroll" }, canvas), legend(id, ["valid", "padding", "tail"]));
  }

  // -- the tower: lengths after each convolution
  function towerPart() {
    const body = html("tbody");
    const head = html("tr");
    let shape = "";
    let cells = [];
    parts.push((state) => {
      const key = `${facts.tower.length} ${get("lengths").length} ${facts.tower.map((step) => step.kernel + "/" + step.stride)}`;
      if (key !== shape) {
        shape = key;
        const clips = get("lengths").map((_, index) => html("th", { scope: "col" }, `clip ${index + 1}`));
        head.replaceChildren(...["after", "kernel", "stride"].map((text) => html("th", { scope: "col" }, text)), ...clips,
          html("th", { scope: "col" }, "left over, longest clip"), html("th", { scope: "col", "aria-hidden": "true" }, ""));
        cells = [null, ...facts.tower].map((step) => {
          const numbers = get("lengths").map(() => html("td", { class: "w2v-number" }));
          const left = html("td", { class: "w2v-number" });
          const bar = svg("rect", { height: 10, y: 1, fill: step ? "#0072B2" : "#808080", stroke: "currentColor" });
          const first = step ? `${step.name}${step.after === "T" ? " = T" : ""}` : "L, samples";
          body.append(html("tr", {}, html("th", { scope: "row" }, first), html("td", { class: "w2v-number" }, step ? step.kernel : "–"),
            html("td", { class: "w2v-number" }, step ? step.stride : "–"), ...numbers, left,
            html("td", { "aria-hidden": "true", class: "w2v-barcell" }, svg("svg", { viewBox: "0 0 160 12", width: 160, height: 12 }, bar))));
          return { step, numbers, left, bar };
        });
        body.replaceChildren(...[...body.children].slice(-cells.length));
      }
      const top = Math.log(Math.max(2, state.all.L) + 1);
      for (const { step, numbers, left, bar } of cells) {
        numbers.forEach((cell, index) => write(cell, spaced(size(step ? step.after : "L", state.clips[index].values)), true));
        const longest = size(step ? step.after : "L", state.all);
        const rest = step ? Math.max(0, longest ? evaluate(step.left, state.all) : size(step.before, state.all)) : null;
        write(left, step ? spaced(rest) : "–", true);
        bar.setAttribute("width", Math.max(0.5, 158 * Math.log(longest + 1) / top));
      }
    });
    return section("Feature encoder: what is left after each convolution", "tower",
      html("div", { class: "w2v-scroll" }, html("table", {},
        html("caption", {}, "Lengths after each convolution (bars: logarithmic)"), html("thead", {}, head), body)));
  }

  // -- frames: point at a frame or a sample
  function framesPart() {
    const width = 760, left = 16, right = 16, around = 3;
    const canvas = svg("svg", { viewBox: `0 0 ${width} 150`, role: "img", class: "w2v-svg w2v-point" });
    const title = svg("title", { id: `${id}-frames-title` });
    canvas.setAttribute("aria-labelledby", title.id);
    const body = svg("g");
    canvas.append(title, patterns(`${id}f`), body);
    const number = (name, text) => {
      const field = html("input", { type: "number", min: 0, step: 1, "data-name": name, "data-lm-suppress-shortcuts": "true" });
      field.addEventListener("keydown", (event) => event.stopPropagation());
      field.addEventListener("input", () => {
        const value = Number(field.value);
        if (field.value === "" || !Number.isInteger(value) || value < 0) return;
        set(name === "frame" ? { frame: value, sample: -1 } : { sample: value, frame: -1 });
      });
      return [field, labelled(text, field)];
    };
    const [frameField, frameLabel] = number("frame", "frame t");
    const [sampleField, sampleLabel] = number("sample", "sample n");
    const clip = html("select", { "data-name": "clip", onchange: (event) => set({ clip: Number(event.target.value) }) });
    const said = html("p", { class: "w2v-said", "data-name": "frame-words" });
    let view = null;
    const locate = (event) => {
      if (!view) return null;
      const box = canvas.getBoundingClientRect();
      const x = (event.clientX - box.left) * width / box.width, y = (event.clientY - box.top) * width / box.width;
      const sample = Math.floor(view.from + (x - left) / (width - left - right) * (view.to - view.from));
      return { sample, inFrames: y > 52 };
    };
    canvas.addEventListener("pointermove", (event) => {
      const found = locate(event);
      if (!found || found.sample < 0 || found.sample >= view.length) return;
      if (found.inFrames) {
        const frame = Math.min(view.T - 1, Math.max(0, Math.floor((found.sample - (view.field - view.hop) / 2) / view.hop)));
        if (view.T && frame !== get("frame")) { local.still = true; set({ frame, sample: -1 }); }
      } else if (found.sample !== get("sample")) { local.still = true; set({ sample: found.sample, frame: -1 }); }
    });
    parts.push((state) => {
      const lengths = get("lengths");
      if (clip.children.length !== lengths.length) {
        clip.replaceChildren(...lengths.map((_, index) => option(index, `clip ${index + 1}`)));
      }
      clip.value = String(get("clip"));
      if (document.activeElement !== frameField) frameField.value = get("frame") >= 0 ? get("frame") : "";
      if (document.activeElement !== sampleField) sampleField.value = get("sample") >= 0 ? get("sample") : "";
      write(said, state.pointed, true);
      const length = lengths[get("clip")], own = state.clips[get("clip")];
      const middle = state.span ? (state.span[0] + state.span[1]) / 2 : get("sample") >= 0 ? get("sample") : state.field / 2;
      const reach = (around + 0.5) * state.hop + state.field / 2;
      // pointing must not move what is pointed at; typing and keys do
      const inside = view && local.still && view.length === length && middle > view.from && middle < view.to;
      local.still = false;
      const from = inside ? view.from : Math.max(-0.25 * state.hop, Math.min(middle - reach, length + 0.4 * state.hop - 2 * reach));
      view = { from, to: from + 2 * reach, length, T: own.T, hop: state.hop, field: state.field };
      const x = (sample) => left + (sample - view.from) / (view.to - view.from) * (width - left - right);
      const nodes = [];
      const end = Math.min(x(length), width - right), readUntil = own.T ? (own.T - 1) * state.hop + state.field : 0;
      nodes.push(svg("rect", { x: x(Math.max(0, view.from)), y: 14, width: Math.max(0, end - x(Math.max(0, view.from))), height: 26,
        fill: "#808080", "fill-opacity": 0.3, stroke: "currentColor" }));
      if (readUntil < view.to && readUntil < length) {
        nodes.push(svg("rect", { x: x(readUntil), y: 14, width: Math.max(0, end - x(readUntil)), height: 26, fill: `url(#${id}f-tail)`, stroke: "currentColor" }));
      }
      if (x(length) < width - right) {
        nodes.push(svg("rect", { x: x(length), y: 14, width: width - right - x(length), height: 26, fill: `url(#${id}f-padding)`, stroke: "currentColor", "stroke-dasharray": "4 3" }));
      }
      nodes.push(svg("text", { x: left, y: 11, class: "w2v-text" }, `samples ${Math.max(0, Math.ceil(view.from))} …`));
      const first = Math.max(0, Math.floor((view.from - state.field) / state.hop)), last = Math.min(own.T - 1, Math.ceil(view.to / state.hop));
      for (let t = first; t <= last; t += 1) {
        const row = t % 2, begin = x(t * state.hop), finish = x(t * state.hop + state.field);
        if (finish < left || begin > width - right) continue;
        const on = state.chosen.includes(t);
        nodes.push(svg("rect", { x: begin, y: 60 + row * 34, width: finish - begin, height: 28, rx: 3,
          fill: on ? "#0072B2" : "none", "fill-opacity": 0.45, stroke: "currentColor", "stroke-width": on ? 3 : 1, "data-frame": t }));
        nodes.push(svg("text", { x: (begin + finish) / 2, y: 79 + row * 34, "text-anchor": "middle", class: on ? "w2v-text w2v-bold" : "w2v-text" },
          on ? `▸ t = ${t}` : `t = ${t}`));
      }
      if (state.span) {
        nodes.push(svg("rect", { x: x(state.span[0]), y: 10, width: x(state.span[1]) - x(state.span[0]), height: 34, fill: "none", stroke: "currentColor", "stroke-width": 3 }));
      }
      if (get("sample") >= 0) {
        const at = x(get("sample") + 0.5);
        if (at >= left && at <= width - right) {
          nodes.push(svg("line", { x1: at, x2: at, y1: 6, y2: 128, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": "2 2" }));
        }
      }
      nodes.push(svg("text", { x: left, y: 146, class: "w2v-text" }, "frames: two rows only because neighbours overlap"));
      body.replaceChildren(...nodes);
      title.textContent = state.pointed;
    });
    return section("Frames: point at a frame or at a sample", "frames",
      html("div", { class: "w2v-bar" }, labelled("in", clip), frameLabel, sampleLabel), html("div", { class: "w2v-scroll" }, canvas), said,
      legend(`${id}f2`, ["valid", "tail", "padding"]));
  }

  // -- masks in any convention
  function masksPart() {
    const convention = html("select", { "data-name": "convention", onchange: (event) => set({ convention: event.target.value }) });
    for (const [key, text] of Object.entries(CONVENTIONS)) convention.append(option(key, text));
    const words = html("div", { "data-name": "mask-words" });
    const pictures = html("div", { class: "w2v-masks" });
    parts.push((state) => {
      convention.value = get("convention");
      const lines = maskWords(state, get("convention"), get("mask"));
      while (words.children.length > lines.length) words.lastChild.remove();
      while (words.children.length < lines.length) words.append(html("p", { class: "w2v-said" }));
      lines.forEach((line, index) => write(words.children[index], line, true));
      const frames = state.all.T;
      const all = !get("mask");
      const longest = state.all.L || 1;
      const nodes = state.clips.map((clip, index) => {
        const samples = all ? 1 : clip.values.L / longest, share = all || !frames ? 1 : clip.T / frames;
        const padding = `url(#${id}m${index}-padding)`, seen = all ? frames : clip.T, left = 58, side = 96;
        const strip = (y, height, part, fill) => [
          svg("rect", { x: left, y, width: side * part, height, fill, "fill-opacity": 0.55, stroke: "currentColor" }),
          svg("rect", { x: left + side * part, y, width: side * (1 - part), height, fill: padding, stroke: "currentColor", "stroke-dasharray": "4 3" })];
        const word = (y, text) => svg("text", { x: left - 6, y, "text-anchor": "end", class: "w2v-text" }, text);
        return html("figure", {}, svg("svg", { viewBox: "0 0 160 156", width: 160, role: "img",
          "aria-label": `masks of clip ${index + 1}: ${all ? longest : clip.values.L} of ${longest} samples and ${seen} of ${frames} frames are valid; in attention every query sees ${seen} of ${frames} keys` },
          patterns(`${id}m${index}`), word(13, "samples"), ...strip(3, 12, samples, "#808080"),
          word(33, "frames"), ...strip(23, 12, share, "#0072B2"), word(62, "queries"), ...strip(44, side, share, "#CC79A7"),
          svg("text", { x: left, y: 153, class: "w2v-text" }, "keys →")),
        html("figcaption", {}, `clip ${index + 1}: ${seen} of ${frames} keys seen`));
      });
      pictures.replaceChildren(...nodes);
    });
    return section("Masks", "masks", html("div", { class: "w2v-bar" }, labelled("convention", convention)), words, pictures);
  }

  // -- what stays, what grows, where padding gets in
  function costsPart() {
    const stays = html("dl"), grows = html("dl"), leak = html("p", { class: "w2v-said", "data-name": "leak" });
    let keys = "";
    let cells = [];
    parts.push((state) => {
      const still = stillFacts(facts), growing = growingFacts(state, facts);
      const key = `${Object.keys(still)}|${Object.keys(growing)}`;
      if (key !== keys) {
        keys = key;
        const fill = (list, entries, sign) => Object.keys(entries).map((name) => {
          const value = html("dd");
          list.append(html("dt", {}, sign(), ` ${name}`), value);
          return value;
        });
        stays.replaceChildren(); grows.replaceChildren();
        cells = [fill(stays, still, lock), fill(grows, growing, () => "↗")];
      }
      Object.values(still).forEach((text, index) => write(cells[0][index], text, true));
      Object.values(growing).forEach((text, index) => write(cells[1][index], text, true));
      write(leak, leakWords(facts), true);
    });
    return section("What stays, what grows", "costs",
      html("div", { class: "w2v-two" },
        html("div", {}, html("h5", {}, "no length moves it"), stays), html("div", {}, html("h5", {}, "grows with the batch"), grows)),
      html("h5", {}, "Where padding gets in"), leak);
  }

  // -- the table of all layers
  function tablePart() {
    const body = html("tbody");
    const unfold = html("input", { type: "checkbox", "data-name": "unfold", onchange: (event) => set({ unfold: event.target.checked }) });
    const caption = html("caption");
    const seen = new Set();
    const sight = new IntersectionObserver((entries) => {
      for (const entry of entries) seen[entry.isIntersecting ? "add" : "delete"](entry.target);
    });
    let source = null;
    let lines = [];
    const colour = (key) => (facts.stages.find((stage) => stage.key === key) || { colour: "currentColor" }).colour;
    parts.push((state) => {
      unfold.checked = get("unfold");
      const rows = get("unfold") ? facts.all_rows : facts.rows;
      if (source !== rows) {
        source = rows;
        lines = rows.map((row) => {
          const shape = html("td", { class: "w2v-shape" }), valid = html("td", { class: "w2v-shape" });
          const node = html("tr", { "data-layer": row.name },
            html("th", { scope: "row", style: `padding-left:${0.5 + row.depth * 0.9}em;border-left:4px solid ${colour(row.stage)}` }, row.label),
            html("td", {}, row.what), html("td", { class: "w2v-shape" }, row.letters), shape, valid,
            html("td", {}, row.mask.split("\n")[0]), html("td", {}, row.reached ? "! reached" : "–"));
          return { row, shape, valid, node };
        });
        body.replaceChildren(...lines.map((line) => line.node));
        sight.disconnect();
        seen.clear();
        lines.slice(AT_ONCE).forEach((line) => sight.observe(line.node));
        caption.textContent = `Every layer of ${facts.model}: shapes in letters and numbers`;
      }
      const fill = ({ row, shape, valid }) => {
        write(shape, row.ends.map((end) => end.map((part) => size(part, state.all)).join("×")).join(" → "), true);
        write(valid, row.time === null ? "–" : state.clips.map((clip) => size(row.time, clip.values)).join(", "), true);
      };
      // A long table is filled where it is seen; the rest follows when the hand rests, so that a drag never waits for it.
      const later = lines.filter((line, index) => index >= AT_ONCE && !seen.has(line.node));
      const wait = new Set(later);
      for (const line of lines) if (!wait.has(line)) fill(line);
      clearTimeout(local.later);
      if (later.length) local.later = setTimeout(() => later.forEach(fill), FILL_AFTER);
    });
    const heads = ["layer", "what it does", "shape, letters", "shape, numbers", "valid per clip", "mask handed", "padding"];
    return section("All layers", "table",
      html("label", { class: "w2v-check" }, unfold, html("span", {}, "unfold equal layers")),
      html("div", { class: "w2v-scroll", tabindex: 0, role: "region", "aria-label": "table of all layers" }, html("table", { class: "w2v-layers" }, caption,
        html("thead", {}, html("tr", {}, ...heads.map((text) => html("th", { scope: "col" }, text)))), body)));
  }

  // ---- state, derived once per drawing
  function derive() {
    const lengths = get("lengths"), rate = get("sample_rate");
    const all = sizes(facts, lengths.length, Math.max(...lengths));
    const { hop, offset: field } = facts.closed.T;
    const clips = lengths.map((length, index) => {
      const values = sizes(facts, lengths.length, length), T = values.T;
      const tail = T ? length - ((T - 1) * hop + field) : length;
      let words = `${spaced(length)} samples = ${seconds(length, rate)} s → ${spaced(T)} frame${T === 1 ? "" : "s"}`;
      if (T) words += tail ? `, the last ${spaced(tail)} samples unread` : ", every sample read";
      else words += `: ${ranOut(values)}; ${spaced(field - length)} samples are missing`;
      return { index, values, T, words };
    });
    const state = { all, clips, hop, field, span: null, chosen: [], pointed: "" };
    point(state, rate);
    return state;
  }

  function ranOut(values) {
    const step = facts.tower.find((convolution) => !size(convolution.after, values));
    const left = size(step.before, values);
    return `it runs out at ${step.name}, which gets ${spaced(left)} position${left === 1 ? "" : "s"} and needs ${step.kernel}`;
  }

  function point(state, rate) {
    const { hop, field } = state, own = state.clips[get("clip")] || state.clips[0], length = get("lengths")[own.index];
    const ms = (sample) => `${(sample * 1000 / rate).toFixed(1)}`;
    const frame = get("frame"), sample = get("sample"), who = `clip ${own.index + 1}`;
    if (frame >= 0) {
      if (frame >= own.T) { state.pointed = `${who} has no frame ${frame}: ${own.T ? `frames 0 … ${own.T - 1}` : "no frame at all"}`; return; }
      state.span = [frame * hop, frame * hop + field];
      state.chosen = [frame];
      state.pointed = `frame ${frame} of ${who} reads samples ${state.span[0]} … ${state.span[1] - 1}: ` +
        `${ms(state.span[0])} … ${ms(state.span[1])} ms, centre ${ms(state.span[0] + field / 2)} ms`;
    } else if (sample >= 0) {
      if (sample >= length) { state.pointed = `${who} has no sample ${sample}: it has ${length}`; return; }
      const first = Math.max(0, Math.ceil((sample - field + 1) / hop)), last = Math.min(own.T - 1, Math.floor(sample / hop));
      for (let t = first; t <= last; t += 1) state.chosen.push(t);
      const readers = state.chosen.length === 0 ? "no frame reads it" : state.chosen.length === 1 ? `frame ${state.chosen[0]} reads it`
        : `frames ${state.chosen[0]} … ${state.chosen[state.chosen.length - 1]} read it`;
      const why = state.chosen.length ? "" : own.T && sample >= (own.T - 1) * hop + field ? ": it is in the unread tail" : own.T ? ": it lies between frames" : ": no frame fits";
      if (state.chosen.length) state.span = [state.chosen[0] * hop, state.chosen[state.chosen.length - 1] * hop + field];
      state.pointed = `sample ${sample} of ${who} (${ms(sample)} ms): ${readers}${why}`;
    } else state.pointed = `point at a frame or a sample of ${who}`;
  }

  function draw() {
    facts = get("facts")[get("mask") ? "with mask" : "without mask"];
    if (!facts) return;
    const state = derive();
    for (const part of parts) part(state);
    message.textContent = get("message");
    clearTimeout(speaker);
    speaker = setTimeout(() => { live.textContent = `${state.clips.map((clip, index) => `clip ${index + 1}: ${clip.words}`).join("; ")}. ${get("frame") >= 0 || get("sample") >= 0 ? state.pointed : ""}`; }, SPEAK_AFTER);
  }

  root.append(html("p", { class: "w2v-formula", "data-name": "formula" }));
  parts.push(() => write(root.querySelector("[data-name=formula]"), `${facts.formula} — derived from the model's own operations`));
  for (const part of [modelPart(), message, clipsPart(), batchPart(), towerPart(), framesPart(), masksPart(), costsPart(), tablePart()]) {
    if (part) root.append(part);
  }
  root.append(live);
  el.append(root);
  draw();

  const redraw = () => local.setting || draw();
  const watched = ["lengths", "frame", "sample", "clip", "preset", "norm", "mask", "convention", "facts", "envelopes", "sources",
    "message", "unfold", "kernels", "strides"];
  for (const name of watched) model.on(`change:${name}`, redraw);
  return () => { for (const name of watched) model.off(`change:${name}`, redraw); clearTimeout(speaker); clearTimeout(local.later); };
}

// ---- words that the text twin says too
function maskWords(state, convention, masked) {
  const L = state.all.L, T = state.all.T;
  if (!masked) return ["no mask is handed: the model takes every sample and every frame for valid", `attention: every query sees all ${spaced(T)} keys of every clip`];
  const run = (valid, total) => {
    const words = { valid: ["True", "False"], padding: ["False", "True"], additive: ["0", "−3.4e38"] }[convention];
    return [[words[0], valid], [words[1], total - valid]].filter(([, many]) => many > 0).map(([word, many]) => `${word} × ${spaced(many)}`).join(", ");
  };
  if (convention === "lengths") {
    return [`samples: [${state.clips.map((clip) => clip.values.L).join(", ")}]`, `frames: [${state.clips.map((clip) => clip.T).join(", ")}]`];
  }
  const lines = [];
  state.clips.forEach((clip, index) => {
    lines.push(`clip ${index + 1}: sample mask ${run(clip.values.L, L)} · frame mask ${run(clip.T, T)} · attention mask: each of ${spaced(T)} rows ${run(clip.T, T)}`);
  });
  return lines;
}

function stillFacts(facts) {
  const { C, D, H, V } = facts.constants;
  const entries = {};
  if (C) entries["C, channels of one frame"] = String(C);
  if (D) entries["D, features of one frame"] = String(D);
  if (H) entries["H, attention heads"] = String(H);
  if (V) entries["V, vocabulary"] = String(V);
  entries["Transformer layers"] = String(facts.depth);
  entries["parameters"] = `${spaced(facts.parameters)} (${bytes(facts.costs.parameters)})`;
  return entries;
}

function growingFacts(state, facts) {
  const at = (tree) => evaluate(tree, state.all);
  return {
    "T, frames of the longest clip": spaced(state.all.T),
    "T × T, scores of one head": spaced(state.all.T * state.all.T),
    "waveforms": bytes(at(facts.costs.waveforms)),
    "output of the first convolution": bytes(at(facts.costs.first_convolution)),
    "one hidden state": bytes(at(facts.costs.hidden_state)),
    "attention weights of one layer, if stored": bytes(at(facts.costs.attention_weights)),
    "multiply-adds": count(at(facts.costs.multiply_adds)),
  };
}

function leakWords(facts) {
  const way = facts.masked ? "with the mask" : "without a mask";
  if (!facts.leak.entry) return `${way}: nowhere. Valid frames are the same as alone, to float error.`;
  return `${way}: at ${facts.leak.entry}. ${facts.leak.reason}. Reached: ${facts.leak.stages.join(", ")}.`;
}

// ---- drawing helpers
function patterns(id) {
  return svg("defs", {},
    svg("pattern", { id: `${id}-padding`, width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("line", { x1: 0, y1: 0, x2: 0, y2: 7, stroke: "currentColor", "stroke-width": 1.6, "stroke-opacity": 0.75 })),
    svg("pattern", { id: `${id}-tail`, width: 6, height: 6, patternUnits: "userSpaceOnUse" },
      svg("circle", { cx: 2, cy: 2, r: 1.3, fill: "currentColor" })));
}

function lock() { // drawn, since not every machine has a font with one
  return svg("svg", { width: 12, height: 14, viewBox: "0 0 12 14", role: "img", "aria-label": "fixed:" },
    svg("rect", { x: 1, y: 6, width: 10, height: 7, rx: 1, fill: "currentColor" }),
    svg("path", { d: "M3 6V4a3 3 0 0 1 6 0v2", fill: "none", stroke: "currentColor", "stroke-width": 1.6 }));
}

function legend(id, kinds) {
  const names = { valid: "valid", padding: "padding", tail: "unread tail" };
  const fills = { valid: "#808080", padding: `url(#${id}l-padding)`, tail: `url(#${id}l-tail)` };
  return html("div", { class: "w2v-legend" }, ...kinds.map((kind, index) => html("span", {},
    svg("svg", { width: 26, height: 14, "aria-hidden": "true" }, index ? null : patterns(`${id}l`),
      svg("rect", { x: 1, y: 1, width: 24, height: 12, fill: fills[kind], "fill-opacity": kind === "valid" ? 0.35 : 1, stroke: "currentColor" })),
    names[kind])));
}

function envelope(peaks, left, width, middle, half) {
  const step = width / peaks.length;
  const top = peaks.map((peak, index) => `${(left + index * step).toFixed(1)},${(middle - peak * half).toFixed(1)}`);
  const bottom = peaks.map((peak, index) => `${(left + index * step).toFixed(1)},${(middle + peak * half).toFixed(1)}`).reverse();
  return `M${top.join("L")}L${bottom.join("L")}Z`;
}

export default { render };
