// The shape explorer's picture: one SVG of the batch on its way through the model, drawn anew at every move.
// Widths are CSS pixels, so that text keeps its size: a narrow page gets another layout and not a smaller picture.

const NARROW = 640; // px; below, words stand above what they belong to and not beside it
const MARGIN = 2; // px left of everything
const HANDLE = 14; // px right of the widest lane: room for a handle
const LENS = 7; // frames under the magnifying glass, at most
const STEP_MS = 110; // from one layer to the next, when the stain spreads

const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");
const rounded = (value) => (typeof value === "number" ? Math.round(value * 100) / 100 : value);
function tag(name, attributes, content = "") {
  const written = Object.entries(attributes).filter(([, value]) => value != null)
    .map(([key, value]) => ` ${key}="${rounded(value)}"`).join("");
  return `<${name}${written}>${content}</${name}>`;
}

// Smallest "round" number of samples in which a batch finds room, with some space to drag into.
function roundReach(longest) {
  const wanted = Math.max(800, longest * 1.2), power = 10 ** Math.floor(Math.log10(wanted));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((reach) => reach >= wanted);
}

// Words in lines of at most so many characters.
function wrapped(text, most) {
  return text.split(" ").reduce((lines, word) => {
    const last = lines[lines.length - 1];
    return last !== undefined && last.length + word.length < most ? [...lines.slice(0, -1), `${last} ${word}`] : [...lines, word];
  }, []);
}

function hatches(id) {
  const pattern = (name, side, drawing) => tag("pattern", { id: `${id}-${name}`, width: side, height: side, patternUnits: "userSpaceOnUse" }, drawing);
  return tag("defs", {},
    pattern("padding", 6, `<path d="M-1.5,1.5 l3,-3 M0,6 l6,-6 M4.5,7.5 l3,-3" stroke="currentColor"/>`)
    + pattern("unread", 4, `<circle cx="2" cy="2" r="0.9" fill="currentColor"/>`)
    + pattern("stain", 12, `<rect width="12" height="12" fill="#F0E442" fill-opacity="0.5"/><path d="M0,6 q3,-5 6,0 t6,0" fill="none" stroke="currentColor" stroke-width="1.2"/>`));
}

const lockPath = (x, y) => tag("g", { transform: `translate(${rounded(x)},${rounded(y)})`, fill: "currentColor" },
  `<rect x="0" y="-8" width="11" height="8" rx="1"/><path d="M2,-8v-2.5a3.5,3.5 0 0 1 7,0v2.5" fill="none" stroke="currentColor" stroke-width="1.6"/>`);
const warningPath = (x, y) => tag("g", { transform: `translate(${rounded(x)},${rounded(y)})` },
  `<path d="M0,0L7,-12L14,0Z" fill="#F0E442" stroke="currentColor" stroke-width="1.2"/><path d="M7,-8v4M7,-2.6v1.2" stroke="#000" stroke-width="1.6"/>`);

class Drawing {
  // view: {formulas, state, parts (a Set), width, reach (samples), lens: {first, count} frames, id, mask, leak, convention, envelopes,
  //   spread (whether the stain moves), known (numbers of the last drawing)}
  constructor(view) {
    Object.assign(this, view);
    this.narrow = this.width < NARROW;
    this.left = this.narrow ? MARGIN : 138;
    this.track = this.width - this.left - (this.narrow ? HANDLE : 216);
    this.right = this.left + this.track + 12;
    this.out = [];
    this.lanes = []; // where a pointer finds samples and frames: {top, bottom, kind, clip, sample(x)}
    this.places = {}; // where controls stand: tops in px
    this.y = 4;
    const { leak } = this.formulas, spreads = this.leak && this.state.padded;
    this.stained = new Set(spreads ? leak.keys : []);
    this.entry = spreads ? leak.entry_stage : null;
  }

  add(...attributes) { this.out.push(tag(...attributes)); }
  colour(stage) { return this.formulas.stages[stage].colour; }
  x(sample) { return this.left + sample / this.reach * this.track; }
  at(tree, t) { return evaluate(tree, { t }); }

  text(x, y, words, { anchor, bold, key, size = 14, halo } = {}) {
    const moved = key !== undefined && this.known.has(key) && this.known.get(key) !== words;
    if (key !== undefined) this.known.set(key, words);
    this.add("text", { x, y, "text-anchor": anchor, "font-size": size, "font-weight": bold ? 700 : null, "data-key": key,
      class: halo ? "w2v-halo" : null },
      escaped(words) + (moved ? `<tspan font-weight="700"> Δ</tspan>` : ""));
  }

  rect(x, y, width, height, fill, more = {}) { if (width > 0) this.add("rect", { x, y, width, height, fill, ...more }); }

  stain(x, y, width, height, step) {
    this.rect(x, y, width, height, `url(#${this.id}-stain)`, { class: "w2v-stain", "fill-opacity": 0.8,
      style: this.spread ? `animation-delay:${step * STEP_MS}ms` : null });
  }

  // ``control`` stands at the right end, or below in so many ``lines`` where the page is narrower than ``room``.
  heading(stage, name, shape, control, room = 0, lines = 1) {
    this.y += 22;
    this.add("rect", { x: MARGIN, y: this.y - 11, width: 12, height: 12, fill: this.colour(stage), stroke: "currentColor" });
    const rest = this.narrow ? "" : `<tspan dx="12" font-size="13.5" font-weight="400">${escaped(shape)}</tspan>`;
    this.add("text", { x: MARGIN + 20, y: this.y, "font-size": 15, "font-weight": 700 }, escaped(name) + rest);
    if (this.narrow) for (const line of wrapped(shape, this.width / 7)) this.text(MARGIN, this.y += 18, line, { size: 13 });
    const ownLine = this.width < room;
    if (control) this.places[control] = this.y + (ownLine ? 7 : -18);
    this.y += control && ownLine ? 12 + 31 * lines : 12;
  }

  // A label left and a number right of a lane; above it where it is narrow. Returns the lane's top.
  words(left, right, height, options = {}) {
    if (this.narrow) {
      this.text(MARGIN, this.y + 13, left, { size: 13, bold: options.bold });
      if (7 * (left.length + right.length + 3) > this.width) this.y += 16;
      this.text(this.width - HANDLE, this.y + 13, right, { anchor: "end", size: 13, key: options.key });
      this.y += 18;
    } else {
      const middle = this.y + height / 2 + 5;
      this.text(this.left - 12, middle, left, { anchor: "end", size: options.bold === undefined ? 13 : 14, bold: options.bold });
      this.text(this.right, options.below ? middle - 8 : middle, right, { key: options.key, size: right.length > 28 ? 12.5 : 13.5 });
      if (options.below) this.text(this.right, middle + 9, options.below, { size: 13, key: `${options.key} below` });
    }
    return this.y;
  }

  name(clip) { return `${clip.index === this.state.own.index && this.state.clips.length > 1 ? "▸ " : ""}clip ${clip.index}`; }

  waveforms() {
    const { state, formulas } = this, height = 40;
    this.heading("waveform", "waveforms", `(B, L) = (${state.clips.length}, ${spaced(state.all.L)})`, "leak", NARROW);
    this.places.waves = [];
    for (const clip of state.clips) {
      const written = `${spaced(clip.length)} samples, ${(clip.length / state.rate).toFixed(3)} s`;
      const unread = !clip.T ? "too short for one frame" : clip.unread ? `${spaced(clip.unread)} of them read by no frame` : "every sample read";
      const top = this.words(this.name(clip), written, height, { bold: clip.index === state.own.index, below: unread, key: `length ${clip.index}` });
      const end = this.x(clip.length), middle = top + height / 2, peaks = this.envelopes[clip.index] || [];
      this.rect(this.left, top + 2, end - this.left, height - 4, this.colour("waveform"), { "fill-opacity": peaks.length ? 0.18 : 0.4 });
      if (peaks.length) this.add("path", { d: envelope(peaks, this.left, end - this.left, middle, height / 2 - 3), fill: this.colour("waveform") });
      const tail = Math.max(clip.unread ? 3 : 0, end - this.x(clip.length - clip.unread));
      this.rect(Math.max(this.left, end - tail), top + 2, Math.min(tail, end - this.left), height - 4, `url(#${this.id}-unread)`);
      this.rect(end, top + 2, this.x(state.all.L) - end, height - 4, `url(#${this.id}-padding)`);
      this.rect(this.left, top + 2, this.x(state.all.L) - this.left, height - 4, "none", { stroke: "currentColor", "stroke-width": 0.8 });
      if (clip === state.own && state.chosen) {
        const from = this.x(this.at(formulas.geometry.start, state.chosen[0])), to = this.x(this.at(formulas.geometry.stop, state.chosen[1]));
        this.rect(from - 1, top - 2, Math.max(3, to - from + 2), height + 4, "none", { stroke: "currentColor", "stroke-width": 2.5, class: "w2v-lit" });
      }
      this.places.waves.push(middle);
      this.lanes.push({ top, bottom: top + height, kind: "sample", clip: clip.index, sample: (x) => (x - this.left) / this.track * this.reach });
      this.y = top + height + 8;
    }
    this.axis();
  }

  axis() {
    const seconds = this.reach / this.state.rate, room = this.track / 76;
    const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1200, 3600].find((s) => seconds / s <= room) || 7200;
    for (let tick = 0; tick * step <= seconds + 1e-9; tick += 1) {
      const at = tick * step, x = this.x(at * this.state.rate);
      this.add("path", { d: `M${rounded(x)},${this.y - 4}v5`, stroke: "currentColor" });
      const words = step < 0.1 ? `${Math.round(at * 1000)} ms` : step < 60 ? `${rounded(at)} s` : `${rounded(at / 60)} min`;
      this.text(x, this.y + 15, words, { anchor: tick ? "middle" : "start", size: 12.5 });
    }
    this.y += 18;
  }

  // ---- the feature encoder, magnified around the frame that is pointed at
  encoder() {
    const { formulas, state } = this, { geometry } = formulas, fanTop = this.y;
    const from = this.at(geometry.start, this.lens.first), last = this.lens.first + this.lens.count - 1;
    const to = Math.max(this.at(geometry.start, last + 1), this.at(geometry.stop, last)), edge = (to - from) * 0.015;
    const low = from - edge, scale = this.track / (to - from + 2 * edge);
    const x = (sample) => this.left + (sample - low) * scale, far = this.left + this.track;
    this.heading("feature_encoder", "feature encoder", `samples ${spaced(from)} … ${spaced(to - 1)} of clip ${state.own.index}, magnified`, "norm", 720);
    const window = [from, to].map((sample) => Math.min(this.left + this.track, this.x(sample)));
    this.fan(fanTop + (this.narrow ? 2 : 4), this.y + 6, window, [x(from), x(to)]);
    this.y += 8;
    const levels = [{ name: "L", before: null, after: "L", hop: 1, start: geometry.start, stop: geometry.stop }, ...formulas.encoder];
    let above = null;
    levels.forEach((level, step) => {
      const own = size(level.after, state.own.values), whole = size(level.after, state.all), isLast = step === levels.length - 1;
      const height = isLast ? 24 : step ? 14 : 18, stage = step ? "feature_encoder" : "waveform";
      const written = `${level.name}${isLast ? " = T" : ""} = ${spaced(whole)}${own < whole ? ` · clip ${state.own.index}: ${spaced(own)}` : ""}`;
      const top = this.words(step ? `kernel ${level.kernel}, stride ${level.stride}` : "samples", written, height, { key: level.name });
      const end = own * level.hop, wholeEnd = whole * level.hop, start = Math.max(0, low), clipped = (sample) => Math.min(far, Math.max(x(start), x(sample)));
      this.rect(x(start), top, clipped(end) - x(start), height, this.colour(stage), { "fill-opacity": step ? 0.25 + 0.3 * (1 - step / levels.length) : 0.4 });
      if (level.reached && state.own.padded && this.stained.has("feature_encoder")) this.stain(x(start), top, clipped(end) - x(start), height, step - 1);
      if (!step) this.rect(clipped(end - state.own.unread), top, clipped(end) - clipped(end - state.own.unread), height, `url(#${this.id}-unread)`);
      this.rect(clipped(end), top, clipped(wholeEnd) - clipped(end), height, `url(#${this.id}-padding)`);
      this.cells(x, level.hop, start, Math.min(low + this.track / scale, wholeEnd), top, height, scale);
      this.outline(x(start), clipped(wholeEnd), top, height, low <= 0, x(wholeEnd) <= far);
      if (state.chosen) {
        const lit = [this.at(level.start, state.chosen[0]) * level.hop, this.at(level.stop, state.chosen[1]) * level.hop].map((sample) => Math.min(far, Math.max(this.left, x(sample))));
        if (above) this.add("path", { d: `M${rounded(above.lit[0])},${above.bottom}L${rounded(above.lit[1])},${above.bottom}L${rounded(lit[1])},${top}L${rounded(lit[0])},${top}Z`, fill: "currentColor", "fill-opacity": 0.22 });
        this.rect(lit[0], top, lit[1] - lit[0], height, this.colour(stage), { "fill-opacity": 0.55, stroke: "currentColor", "stroke-width": 2.2, class: "w2v-lit", "data-level": level.name });
        above = { lit, bottom: top + height };
      }
      if (!step && state.sample >= 0 && x(state.sample) >= this.left && x(state.sample) <= far) {
        this.add("path", { d: `M${rounded(x(state.sample + 0.5))},${top - 5}v${height + 8}`, stroke: "currentColor", "stroke-width": 2.5, "data-level": "sample" });
      }
      if (isLast) this.frameLabels(x, geometry, own, top, scale);
      if (level.name === "T1" && this.entry === "feature_encoder") this.out.push(warningPath(this.narrow ? far - 16 : this.width - 16, top + height));
      this.lanes.push({ top, bottom: top + height, kind: isLast ? "frame" : "sample", clip: state.own.index, lens: true, sample: (px) => low + (px - this.left) / scale });
      this.y = top + height + (this.narrow ? 4 : 9);
    });
    if (state.own.T) this.lensEnds = { from: [x(from), x(to)], to: window, y: this.y - (this.narrow ? 2 : 7) };
  }

  frameLabels(x, geometry, frames, top, scale) {
    const wide = this.at(geometry.start, 1) * scale;
    for (let { first: t, count } = this.lens, end = Math.min(frames, t + count); t < end; t += 1) {
      const on = this.state.chosen && t >= this.state.chosen[0] && t <= this.state.chosen[1];
      const words = String(t).length * 9 + 34 < wide ? `t = ${t}` : String(t).length * 8 < wide ? String(t) : "";
      this.add("rect", { x: x(this.at(geometry.start, t)), y: top, width: wide, height: 24, fill: "transparent", "data-frame": t });
      this.text(x(this.at(geometry.start, t)) + wide / 2, top + 17, words, { anchor: "middle", size: 13, bold: on, halo: true });
    }
  }

  // From a window in the picture of the whole batch to the magnified one, and back.
  fan(top, bottom, above, below) {
    this.add("path", { d: `M${rounded(above[0])},${top}L${rounded(above[1])},${top}L${rounded(below[1])},${bottom}L${rounded(below[0])},${bottom}Z`,
      fill: "currentColor", "fill-opacity": 0.07, stroke: "none" });
  }

  // Thin lines between neighbouring positions, where they are far enough apart to be seen: one dashed line.
  cells(x, hop, from, to, top, height, scale) {
    const wide = hop * scale, first = x(Math.max(1, Math.ceil(from / hop)) * hop);
    if (wide < 3.5 || x(to) - 1 <= first) return;
    this.add("path", { d: `M${rounded(first - 0.4)},${top + height / 2}H${rounded(x(to) - 1)}`, stroke: "currentColor", "stroke-width": height,
      "stroke-dasharray": `0.8 ${(wide - 0.8).toFixed(4)}`, "stroke-opacity": 0.55 });
  }

  // A lane's outline, open on the side where the lane goes on.
  outline(from, to, top, height, startShown, endShown) {
    if (to <= from) return;
    const [a, b] = [rounded(from), rounded(to)];
    this.add("path", { d: `M${a},${top}H${b}M${a},${top + height}H${b}${startShown ? `M${a},${top}v${height}` : ""}${endShown ? `M${b},${top}v${height}` : ""}`,
      stroke: "currentColor", "stroke-width": 0.8, fill: "none" });
  }

  frames() {
    const { state, formulas } = this, { geometry } = formulas, height = 22;
    const mask = this.mask && CONVENTIONS[this.convention].signs;
    this.heading("feature_encoder", "frames", `(B, T) = (${state.clips.length}, ${spaced(state.all.T)})${mask ? `; frame mask: ${mask[0]} where solid` : ""}`);
    if (this.lensEnds) this.fan(this.lensEnds.y, this.y + 2, this.lensEnds.from, this.lensEnds.to);
    this.places.frames = [];
    for (const clip of state.clips) {
      const padding = state.all.T - clip.T, written = `${clip.empty ? `none: it runs out at ${clip.empty.name}` : `${spaced(clip.T)} valid`}${padding ? ` + ${spaced(padding)} padding` : ""}`;
      const laneTop = this.words(this.name(clip), written, height, { bold: clip.index === state.own.index, key: `frames ${clip.index}` });
      const end = this.x(this.at(geometry.start, clip.T)), wholeEnd = this.x(this.at(geometry.start, state.all.T));
      this.rect(this.left, laneTop, end - this.left, height, this.colour("feature_encoder"), { "fill-opacity": 0.5 });
      if (clip.padded && this.stained.has("feature_encoder")) this.stain(this.left, laneTop, end - this.left, height, formulas.encoder.length);
      this.rect(end, laneTop, wholeEnd - end, height, `url(#${this.id}-padding)`);
      this.cells((sample) => this.x(sample), geometry.hop, 0, this.at(geometry.start, state.all.T), laneTop, height, this.track / this.reach);
      this.outline(this.left, wholeEnd, laneTop, height, true, true);
      if (clip === state.own && state.chosen) {
        const from = this.x(this.at(geometry.start, state.chosen[0])), to = this.x(this.at(geometry.start, state.chosen[1] + 1));
        this.rect(from, laneTop - 2, Math.max(3, to - from), height + 4, this.colour("feature_encoder"), { stroke: "currentColor", "stroke-width": 2.2, class: "w2v-lit" });
      }
      this.places.frames.push(laneTop + height / 2);
      this.lanes.push({ top: laneTop, bottom: laneTop + height, kind: "frame", clip: clip.index, sample: (x) => (x - this.left) / this.track * this.reach });
      this.y = laneTop + height + 8;
    }
  }

  // ---- what one frame is made of: sizes that no length moves
  frame() {
    const { formulas, state } = this, { C, D, V } = formulas.constants, full = 92;
    this.heading("projection", "one frame", state.all.T ? `the same sizes and weights for each of the ${spaced(state.all.T)}` : "no clip has one; these are its sizes");
    const blocks = [["feature_encoder", C, "C", ["feature", "encoder"]], ["projection", D, "D", ["feature", "projection"]],
      ["positions", D, "D", ["+ positions"]], ["transformer", D, "D", ["Transformer", `× ${formulas.depth}`]]];
    if (V) blocks.push(["head", V, "V", ["head"]]);
    const base = this.y + full + 6, begin = this.narrow ? MARGIN : this.left, pitch = (this.width - MARGIN - begin) / blocks.length;
    const wide = this.narrow ? 16 : 30, gap = this.narrow ? 5 : 9, cramped = pitch < 72;
    blocks.forEach(([stage, number, letter, name], index) => {
      const x = begin + index * pitch, height = Math.max(5, number / Math.max(C, D) * full), beside = x + wide + gap;
      this.rect(x, base - height, wide, height, this.colour(stage), { "fill-opacity": 0.85, stroke: "currentColor", "stroke-width": 0.8 });
      if (this.stained.has(stage)) this.stain(x, base - height, wide, height, formulas.encoder.length + 1 + index);
      this.text(beside, base - 42, number, { size: this.narrow ? 14 : 17, bold: true });
      this.out.push(lockPath(beside + (this.narrow ? 1 : 11 * String(number).length + 6), base - (this.narrow ? 60 : 43)));
      this.text(beside, base - 24, letter);
      if (this.entry === stage && stage !== "feature_encoder") this.out.push(warningPath(beside, base - 76));
      const lower = cramped && index % 2 ? 32 : 0;
      name.forEach((line, row) => this.text(x, base + 17 + lower + row * 16, line, { size: this.narrow ? 12 : 13 }));
      if (index && !this.narrow) this.add("path", { d: `M${rounded(x - 34)},${base - 12}h24m-6,-4l6,4l-6,4`, fill: "none", stroke: "currentColor", "stroke-width": 1.4 });
    });
    this.y = base + (cramped ? 68 : 36);
  }

  attention() {
    const { state, mask } = this, frames = state.all.T, { signs } = CONVENTIONS[this.convention];
    const shape = `(B, 1, T, T) = (${state.clips.length}, 1, ${spaced(frames)}, ${spaced(frames)})`;
    this.heading("transformer", "attention mask", mask ? shape : "none was handed: every query looks at every key", "mask", 900, this.narrow ? 2 : 1);
    const side = 112, pitch = side + 52, begin = this.narrow ? MARGIN + 12 : this.left, top = this.y + 18;
    const perLine = Math.max(1, Math.floor((this.width - MARGIN - begin + 52) / pitch));
    if (!frames) { this.text(begin, top, "no frame, so nothing to look at"); this.y += 28; return; }
    this.text(begin, top - 6, `keys →${mask && signs ? `\u2003 solid: ${signs[0]}, hatched: ${signs[1]}` : ""}`, { size: 13 });
    this.add("text", { transform: `translate(${begin - 7},${top + 56}) rotate(-90)`, "font-size": 13 }, "queries");
    state.clips.forEach((clip, place) => {
      const x = begin + (place % perLine) * pitch, y = top + Math.floor(place / perLine) * (side + 46);
      const valid = side * clip.T / frames, seen = mask ? clip.T : frames, edge = mask ? valid : side;
      const square = [];
      const keep = this.out;
      this.out = square;
      if (mask && !signs) { // a length is all that this convention hands over; the square is built inside of the model
        this.rect(x, y, side, side, "none", { stroke: "currentColor", "stroke-dasharray": "3 4" });
        this.text(x + side / 2, y + side / 2 + 8, spaced(clip.T), { anchor: "middle", size: 22, bold: true });
      } else {
        this.rect(x, y, edge, side, this.colour("transformer"), { "fill-opacity": 0.3 });
        this.rect(x, y, Math.min(edge, valid), valid, this.colour("transformer"), { "fill-opacity": 0.55 });
        this.rect(x + edge, y, side - edge, side, `url(#${this.id}-padding)`);
        this.rect(x, y, side, side, "none", { stroke: "currentColor" });
        if (edge < side) this.add("path", { d: `M${rounded(x + edge)},${y}v${side}`, stroke: "currentColor" });
        if (mask) this.signs(x, y, side, edge, signs);
        else if (clip.padded && this.entry) this.stain(x + valid, y, side - valid, valid, this.formulas.encoder.length + 4);
      }
      this.out = keep;
      this.out.push(tag("g", { "data-action": "mask", class: "w2v-click" }, square.join("")));
      this.text(x, y + side + 18, mask && !signs ? `clip ${place}: one number` : `clip ${place}: ${spaced(seen)} of ${spaced(frames)} seen`, { size: 13, key: `seen ${place}` });
      this.y = y + side + 28;
    });
  }

  // What stands in the mask: written into the two areas where there is room.
  signs(x, y, side, edge, [valid, padding]) {
    for (const [words, from, to] of [[valid, x, x + edge], [padding, x + edge, x + side]]) {
      const wide = words.length * 7 + 6;
      if (to - from < wide) continue;
      this.rect((from + to - wide) / 2, y + side / 2 - 11, wide, 20, "var(--jp-layout-color0, Canvas)", { rx: 3, "fill-opacity": 0.9 });
      this.text((from + to) / 2, y + side / 2 + 4, words, { anchor: "middle", size: 12 });
    }
  }
}

function envelope(peaks, left, width, middle, half) {
  const step = width / peaks.length, point = (peak, index, side) => `${(left + index * step).toFixed(1)},${(middle - side * peak * half).toFixed(1)}`;
  const upper = peaks.map((peak, index) => point(peak, index, 1)), lower = peaks.map((peak, index) => point(peak, index, -1)).reverse();
  return `M${upper.join("L")}L${lower.join("L")}Z`;
}

// The whole picture: {svg, height, lanes, places}. parts: which of "waveforms", "encoder", "frames", "frame", "attention".
function drawPicture(view) {
  const drawing = new Drawing(view);
  for (const part of ["waveforms", "encoder", "frames", "frame", "attention"]) {
    if (!view.parts.has(part)) continue;
    drawing[part]();
    drawing.y += 8;
  }
  return { svg: hatches(view.id) + drawing.out.join(""), height: drawing.y, lanes: drawing.lanes, places: drawing.places,
    left: drawing.left, track: drawing.track };
}
