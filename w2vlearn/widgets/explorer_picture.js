// The shape explorer's picture: one SVG of the batch on its way through the model, drawn anew at every move.
// Widths are CSS pixels, so that text keeps its size: a narrow page gets another layout and not a smaller picture.

const NARROW = 640; // px; below, words stand above what they belong to and not beside it
const MARGIN = 2; // px left of everything
const HANDLE = 14; // px right of the widest lane: room for a handle
const LENS = 7; // frames under the magnifying glass, at most
const TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1200, 3600]; // s
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
  const pattern = (name, side, drawing) => tag("pattern",
    { id: `${id}-${name}`, width: side, height: side, patternUnits: "userSpaceOnUse" }, drawing);
  const line = (d) => `<path d="${d}" fill="none" stroke="currentColor" stroke-width="1.2"/>`;
  return tag("defs", {}, pattern("padding", 6, line("M-1.5,1.5 l3,-3 M0,6 l6,-6 M4.5,7.5 l3,-3"))
    + pattern("unread", 4, `<circle cx="2" cy="2" r="0.9" fill="currentColor"/>`)
    + pattern("stain", 12, `<rect width="12" height="12" fill="#F0E442" fill-opacity="0.5"/>${line("M0,6 q3,-5 6,0 t6,0")}`));
}

// Signs, drawn: not every machine has a font with them. (x, y) is the lower left corner.
const placed = (x, y, drawing) => tag("g", { transform: `translate(${rounded(x)},${rounded(y)})` }, drawing);
const lockSign = (x, y) => placed(x, y, `<rect x="0" y="-8" width="11" height="8" rx="1" fill="currentColor"/>`
  + `<path d="M2,-8v-2.5a3.5,3.5 0 0 1 7,0v2.5" fill="none" stroke="currentColor" stroke-width="1.6"/>`);
const warningSign = (x, y) => placed(x, y, `<path d="M0,0L7,-12L14,0Z" fill="#F0E442" stroke="currentColor" stroke-width="1.2"/>`
  + `<path d="M7,-8v4M7,-2.6v1.2" stroke="#000" stroke-width="1.6"/>`);

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
  fill(hatch) { return `url(#${this.id}-${hatch})`; }
  colour(stage) { return this.formulas.colours[stage]; }
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
    this.rect(x, y, width, height, this.fill("stain"), { class: "w2v-stain", "fill-opacity": 0.8,
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

  // ---- shapes that several parts draw
  path(d, more) { this.add("path", { d: d.replace(/-?\d+\.\d+/g, (number) => rounded(Number(number))), fill: "none", ...more }); }

  // A wide band from two ends above to two ends below: what is magnified, and what a frame comes from.
  band([a, b], top, [c, d], bottom, opacity) {
    this.path(`M${a},${top}L${b},${top}L${d},${bottom}L${c},${bottom}Z`, { fill: "currentColor", "fill-opacity": opacity });
  }

  lit(from, to, top, height, more = {}) {
    this.rect(from, top, Math.max(3, to - from), height, "none", { stroke: "currentColor", "stroke-width": 2.3, class: "w2v-lit", ...more });
  }

  // Thin lines between neighbouring positions, where they are far enough apart to be seen: one dashed line.
  cells(x, hop, from, to, top, height) {
    const wide = x(hop) - x(0), first = x(Math.max(1, Math.ceil(from / hop)) * hop);
    if (wide < 3.5 || x(to) - 1 <= first) return;
    this.path(`M${first - 0.4},${top + height / 2}H${x(to) - 1}`, { stroke: "currentColor", "stroke-width": height,
      "stroke-dasharray": `0.8 ${(wide - 0.8).toFixed(4)}`, "stroke-opacity": 0.55 });
  }

  // A lane's outline, open on a side where the lane goes on.
  outline(from, to, top, height, startShown = true, endShown = true) {
    if (to <= from) return;
    const side = (x, isShown) => (isShown ? `M${x},${top}v${height}` : "");
    this.path(`M${from},${top}H${to}M${from},${top + height}H${to}${side(from, startShown)}${side(to, endShown)}`,
      { stroke: "currentColor", "stroke-width": 0.8 });
  }

  // A pointer in this lane points at samples, or at the frames that begin there.
  lane(kind, clip, top, height, sample, isLens = false) {
    this.lanes.push({ kind, clip: clip.index, top, bottom: top + height, sample, isLens });
  }

  // ---- the clips, padded to the longest
  waveforms() {
    const { state, formulas: { geometry } } = this, height = 40, { L } = state.all;
    this.heading("waveform", "waveforms", `(B, L) = (${state.clips.length}, ${spaced(L)})`, "leak", NARROW);
    this.places.waves = [];
    for (const clip of state.clips) {
      const isOwn = clip === state.own, peaks = this.envelopes[clip.index] || [];
      const number = `${plural(clip.length, "sample")}, ${(clip.length / state.rate).toFixed(3)} s`;
      const top = this.words(this.name(clip), number, height, { bold: isOwn, below: unreadText(clip), key: `length ${clip.index}` });
      const end = this.x(clip.length), inner = [top + 2, height - 4], grey = this.colour("waveform");
      this.laneRect(this.left, end, ...inner, grey, { "fill-opacity": peaks.length ? 0.18 : 0.4 });
      if (peaks.length) this.add("path", { d: envelope(peaks, this.left, end - this.left, top + height / 2, height / 2 - 3), fill: grey });
      const tail = Math.min(end - 3, this.x(clip.length - clip.unread)); // at least 3 px, so that it is seen
      if (clip.unread) this.laneRect(Math.max(this.left, tail), end, ...inner, this.fill("unread"));
      this.laneRect(end, this.x(L), ...inner, this.fill("padding"));
      this.outline(this.left, this.x(L), ...inner);
      if (isOwn && state.chosen) {
        const [from, to] = this.chosenSamples(geometry).map((sample) => this.x(sample));
        this.lit(from - 1, to + 1, top - 2, height + 4);
      }
      this.places.waves.push(top + height / 2);
      this.lane("sample", clip, top, height, (x) => (x - this.left) / this.track * this.reach);
      this.y = top + height + 8;
    }
    this.axis();
  }

  laneRect(from, to, top, height, fill, more) { this.rect(from, top, to - from, height, fill, more); }

  // First and last position, end excluded, that the chosen frames are computed from.
  chosenSamples({ start, stop }) { return [this.at(start, this.state.chosen[0]), this.at(stop, this.state.chosen[1])]; }

  axis() {
    const seconds = this.reach / this.state.rate, room = this.track / 76;
    const step = TICKS.find((tick) => seconds / tick <= room) || 7200;
    for (let tick = 0; tick * step <= seconds + 1e-9; tick += 1) {
      const at = tick * step, x = this.x(at * this.state.rate);
      const words = step < 0.1 ? `${Math.round(at * 1000)} ms` : step < 60 ? `${rounded(at)} s` : `${rounded(at / 60)} min`;
      this.path(`M${x},${this.y - 4}v5`, { stroke: "currentColor" });
      this.text(x, this.y + 15, words, { anchor: tick ? "middle" : "start", size: 12.5 });
    }
    this.y += 18;
  }

  // ---- the feature encoder, magnified around the frame that is pointed at
  encoder() {
    const { formulas: { geometry, encoder }, state, lens } = this, fanTop = this.y + (this.narrow ? 2 : 4);
    const last = lens.first + lens.count - 1, from = this.at(geometry.start, lens.first);
    const to = Math.max(this.at(geometry.start, last + 1), this.at(geometry.stop, last)), edge = (to - from) * 0.015;
    const scale = this.track / (to - from + 2 * edge), far = this.left + this.track;
    const view = { low: from - edge, scale, far, x: (sample) => this.left + (sample - from + edge) * scale };
    view.start = view.x(Math.max(0, view.low)); // nothing lies before sample 0
    const inside = [view.x(from), view.x(to)], outside = [this.x(from), Math.min(far, this.x(to))];
    this.heading("feature_encoder", "feature encoder",
      `samples ${spaced(from)} … ${spaced(to - 1)} of clip ${state.own.index}, magnified`, "norm", 720);
    this.band(outside, fanTop, inside, this.y + 6, 0.07);
    this.y += 8;
    const levels = [{ ...geometry, name: "L", after: "L", hop: 1 }, ...encoder];
    levels.reduce((above, level, step) => this.level(level, step, levels.length - 1, view, above), null);
    if (state.own.T) this.lensEnds = [inside, this.y - (this.narrow ? 2 : 7), outside];
  }

  // Samples (step 0) or what a convolution leaves. Returns what is lit in it, for the band to the next level.
  level(level, step, lastStep, view, above) {
    const { state, state: { own } } = this, isLast = step === lastStep, stage = step ? "feature_encoder" : "waveform";
    const height = isLast ? 24 : step ? 14 : 18, { x, far, start } = view;
    const [valid, whole] = [own.values, state.all].map((values) => values[level.after]);
    const [end, wholeEnd] = [valid, whole].map((positions) => Math.min(far, Math.max(start, x(positions * level.hop))));
    const number = `${level.name}${isLast ? " = T" : ""} = ${spaced(whole)}`;
    const ownNumber = valid < whole ? ` · clip ${own.index}: ${spaced(valid)}` : "";
    const top = this.words(step ? `kernel ${level.kernel}, stride ${level.stride}` : "samples", number + ownNumber, height, { key: level.name });

    this.laneRect(start, end, top, height, this.colour(stage), { "fill-opacity": step ? 0.55 - 0.3 * step / (lastStep + 1) : 0.4 });
    if (level.reached && own.padded && this.stained.has(stage)) this.stain(start, top, end - start, height, step - 1);
    if (!step) this.laneRect(Math.min(far, Math.max(start, x(own.length - own.unread))), end, top, height, this.fill("unread"));
    this.laneRect(end, wholeEnd, top, height, this.fill("padding"));
    this.cells(x, level.hop, Math.max(0, view.low), Math.min(view.low + this.track / view.scale, whole * level.hop), top, height);
    this.outline(start, wholeEnd, top, height, view.low <= 0, x(whole * level.hop) <= far);

    let lit = null;
    if (state.chosen) {
      lit = this.chosenSamples(level).map((position) => Math.min(far, Math.max(this.left, x(position * level.hop))));
      if (above) this.band(above.lit, above.bottom, lit, top, 0.22);
      this.lit(...lit, top, height, { fill: this.colour(stage), "fill-opacity": 0.55, "data-level": level.name });
    }
    const at = x(state.sample + 0.5);
    if (!step && state.sample >= 0 && at >= this.left && at <= far) {
      this.path(`M${at},${top - 5}v${height + 8}`, { stroke: "currentColor", "stroke-width": 2.5, "data-level": "sample" });
    }
    if (isLast) this.frameLabels(view, top);
    if (step === 1 && this.entry === stage) this.out.push(warningSign(this.narrow ? far - 16 : this.width - 16, top + height));
    this.lane(isLast ? "frame" : "sample", own, top, height, (px) => view.low + (px - this.left) / view.scale, true);
    this.y = top + height + (this.narrow ? 4 : 9);
    return lit && { lit, bottom: top + height };
  }

  frameLabels({ x, scale }, top) {
    const { formulas: { geometry }, state, lens } = this, wide = geometry.hop * scale;
    for (let t = lens.first; t < Math.min(state.own.T, lens.first + lens.count); t += 1) {
      const isLit = state.chosen && t >= state.chosen[0] && t <= state.chosen[1], room = wide - String(t).length * 9;
      const from = x(this.at(geometry.start, t));
      this.add("rect", { x: from, y: top, width: wide, height: 24, fill: "transparent", "data-frame": t });
      this.text(from + wide / 2, top + 17, room > 34 ? `t = ${t}` : room > 0 ? String(t) : "", { anchor: "middle", size: 13, bold: isLit, halo: true });
    }
  }

  // ---- frames of every clip
  frames() {
    const { state, formulas: { geometry, encoder } } = this, height = 22, blue = this.colour("feature_encoder");
    const signs = this.mask && CONVENTIONS[this.convention].signs, frameX = (t) => this.x(this.at(geometry.start, t));
    const shape = `(B, T) = (${state.clips.length}, ${spaced(state.all.T)})`;
    this.heading("feature_encoder", "frames", shape + (signs ? `; frame mask: ${signs[0]} where solid` : ""));
    if (this.lensEnds) this.band(...this.lensEnds, this.y + 2, 0.07);
    this.places.frames = [];
    for (const clip of state.clips) {
      const isOwn = clip === state.own, padding = state.all.T - clip.T, end = frameX(clip.T), wholeEnd = frameX(state.all.T);
      const number = (clip.empty ? `none: it runs out at ${clip.empty.name}` : `${spaced(clip.T)} valid`)
        + (padding ? ` + ${spaced(padding)} padding` : "");
      const top = this.words(this.name(clip), number, height, { bold: isOwn, key: `frames ${clip.index}` });
      this.laneRect(this.left, end, top, height, blue, { "fill-opacity": 0.5 });
      if (clip.padded && this.stained.has("feature_encoder")) this.stain(this.left, top, end - this.left, height, encoder.length);
      this.laneRect(end, wholeEnd, top, height, this.fill("padding"));
      this.cells((sample) => this.x(sample), geometry.hop, 0, this.at(geometry.start, state.all.T), top, height);
      this.outline(this.left, wholeEnd, top, height);
      if (isOwn && state.chosen) this.lit(frameX(state.chosen[0]), frameX(state.chosen[1] + 1), top - 2, height + 4, { fill: blue });
      this.places.frames.push(top + height / 2);
      this.lane("frame", clip, top, height, (x) => (x - this.left) / this.track * this.reach);
      this.y = top + height + 8;
    }
  }

  // ---- what one frame is made of: sizes that no length moves
  frame() {
    const { formulas: { constants: { C, D, V }, depth }, state, narrow } = this, full = 92;
    this.heading("projection", "one frame", state.all.T
      ? `the same sizes and weights for each of the ${spaced(state.all.T)}` : "no clip has one; these are its sizes");
    const blocks = [["feature_encoder", C, "C", "feature", "encoder"], ["projection", D, "D", "feature", "projection"],
      ["positions", D, "D", "+ positions"], ["transformer", D, "D", "Transformer", `× ${depth}`]];
    if (V) blocks.push(["head", V, "V", "head"]);
    const begin = narrow ? MARGIN : this.left, pitch = (this.width - MARGIN - begin) / blocks.length;
    const base = this.y + full + 6, isCramped = pitch < 80, [wide, gap] = narrow ? [16, 5] : [30, 9];
    blocks.forEach(([stage, number, letter, ...name], index) => {
      const x = begin + index * pitch, height = Math.max(5, number / Math.max(C, D) * full), beside = x + wide + gap;
      this.rect(x, base - height, wide, height, this.colour(stage), { "fill-opacity": 0.85, stroke: "currentColor", "stroke-width": 0.8 });
      if (this.stained.has(stage)) this.stain(x, base - height, wide, height, this.formulas.encoder.length + 1 + index);
      this.text(beside, base - 42, number, { size: narrow ? 14 : 17, bold: true });
      this.out.push(narrow ? lockSign(beside + 1, base - 60) : lockSign(beside + 11 * String(number).length + 6, base - 43));
      this.text(beside, base - 24, letter);
      if (this.entry === stage && stage !== "feature_encoder") this.out.push(warningSign(beside, base - 76));
      const below = base + 17 + (isCramped && index % 2 ? 32 : 0); // every other name lower, where they would touch
      name.forEach((line, row) => this.text(x, below + row * 16, line, { size: narrow ? 12 : 13 }));
      if (index && !narrow) this.path(`M${x - 34},${base - 12}h24m-6,-4l6,4l-6,4`, { stroke: "currentColor", "stroke-width": 1.4 });
    });
    this.y = base + (isCramped ? 68 : 36);
  }

  // ---- attention masks, a square for each clip; each square is a switch
  attention() {
    const { state, mask } = this, frames = state.all.T, signs = mask && CONVENTIONS[this.convention].signs;
    const shape = `(B, 1, T, T) = (${state.clips.length}, 1, ${spaced(frames)}, ${spaced(frames)})`;
    this.heading("transformer", "attention mask", mask ? shape : "none was handed: every query looks at every key", "mask", 960, this.narrow ? 2 : 1);
    const side = 112, gap = 52, begin = this.narrow ? MARGIN + 12 : this.left, top = this.y + 18;
    if (!frames) { this.text(begin, top, "no frame, so nothing to look at"); this.y += 28; return; }
    this.text(begin, top - 6, `keys →${signs ? `\u2003 solid: ${signs[0]}, hatched: ${signs[1]}` : ""}`, { size: 13 });
    this.add("text", { transform: `translate(${begin - 7},${top + 56}) rotate(-90)`, "font-size": 13 }, "queries");
    const perLine = Math.max(1, Math.floor((this.width - MARGIN - begin + gap) / (side + gap)));
    for (const clip of state.clips) {
      const x = begin + (clip.index % perLine) * (side + gap), y = top + Math.floor(clip.index / perLine) * (side + 46);
      this.out.push(`<g data-action="mask" class="w2v-click">`);
      this.square(clip, x, y, side, signs);
      this.out.push("</g>");
      const seen = `clip ${clip.index}: ${spaced(mask ? clip.T : frames)} of ${spaced(frames)} seen`;
      this.text(x, y + side + 18, mask && !signs ? `clip ${clip.index}: one number` : seen, { size: 13, key: `seen ${clip.index}` });
      this.y = y + side + 28;
    }
  }

  square(clip, x, y, side, signs) {
    const valid = side * clip.T / this.state.all.T, edge = this.mask ? valid : side, pink = this.colour("transformer");
    if (this.mask && !signs) { // a length is all that this convention hands over; the square is built inside of the model
      this.rect(x, y, side, side, "none", { stroke: "currentColor", "stroke-dasharray": "3 4" });
      this.text(x + side / 2, y + side / 2 + 8, spaced(clip.T), { anchor: "middle", size: 22, bold: true });
      return;
    }
    this.rect(x, y, edge, side, pink, { "fill-opacity": 0.3 }); // queries of padding are fainter
    this.rect(x, y, Math.min(edge, valid), valid, pink, { "fill-opacity": 0.55 });
    this.rect(x + edge, y, side - edge, side, this.fill("padding"));
    this.rect(x, y, side, side, "none", { stroke: "currentColor" });
    if (edge < side) this.path(`M${x + edge},${y}v${side}`, { stroke: "currentColor" });
    if (!this.mask && clip.padded && this.entry) this.stain(x + valid, y, side - valid, valid, this.formulas.encoder.length + 4);
    if (signs) [[signs[0], x, x + edge], [signs[1], x + edge, x + side]].forEach((area) => this.sign(...area, y + side / 2));
  }

  // What stands in this part of the mask, where there is room for it.
  sign(words, from, to, middle) {
    const wide = words.length * 7 + 6, centre = (from + to) / 2;
    if (to - from < wide) return;
    this.rect(centre - wide / 2, middle - 11, wide, 20, "var(--jp-layout-color0, Canvas)", { rx: 3, "fill-opacity": 0.9 });
    this.text(centre, middle + 4, words, { anchor: "middle", size: 12 });
  }
}

function unreadText({ T, unread }) {
  if (!T) return "too short for one frame";
  return unread ? `${spaced(unread)} of them read by no frame` : "every sample read";
}

function envelope(peaks, left, width, middle, half) {
  const step = width / peaks.length;
  const point = (peak, index, side) => `${(left + index * step).toFixed(1)},${(middle - side * peak * half).toFixed(1)}`;
  const upper = peaks.map((peak, index) => point(peak, index, 1)), lower = peaks.map((peak, index) => point(peak, index, -1)).reverse();
  return `M${upper.join("L")}L${lower.join("L")}Z`;
}

// The whole picture. parts: which of "waveforms", "encoder", "frames", "frame", "attention".
function drawPicture(view) {
  const drawing = new Drawing(view);
  for (const part of ["waveforms", "encoder", "frames", "frame", "attention"]) {
    if (!view.parts.has(part)) continue;
    drawing[part]();
    drawing.y += 8;
  }
  const { y: height, lanes, places, left, track } = drawing;
  return { svg: hatches(view.id) + drawing.out.join(""), height, lanes, places, left, track };
}
