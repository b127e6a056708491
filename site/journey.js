// Rows that share one time axis: waveform, seven convolutions, frames, features, letters. Drawn from a clip and what the
// worker answered; every place on the axis is a share of the row's L samples.

/** An element with attributes and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElementNS(tag === "svg" || tag === "path" ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const spaced = (number) => String(number).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f"); // 16 000
const milliseconds = (samples) => `${Number((samples / (RATE / 1000)).toFixed(4))} ms`;

class Journey {
  /** geometry: kernels, strides; rows: which of "convolutions", "change" to show beside the others. */
  constructor(place, geometry, rows, onPoint) {
    this.geometry = geometry;
    this.rows = rows;
    this.onPoint = onPoint;
    this.root = make("div", { class: "journey" });
    place.replaceChildren(this.root);
  }

  /** Left edge and width of samples [start, end) as CSS. */
  across(start, end) {
    return `left:${(100 * start) / this.total}%;width:${(100 * (end - start)) / this.total}%`;
  }

  /** A row: label on the left, label on the right, a strip of `high` pixels with `content`; returns the strip. */
  row(left, right, high, alternative, pointsAt, ...content) {
    const strip = make("div", { class: "strip", style: `--high:${high}px`, role: "img", "aria-label": alternative }, ...content);
    const point = (event) => {
      const box = strip.getBoundingClientRect();
      const sample = Math.floor(((event.clientX - box.left) / box.width) * this.total);
      this.onPoint(pointsAt, Math.max(0, Math.min(this.total - 1, sample)));
    };
    for (const kind of ["pointerdown", "pointermove"]) strip.addEventListener(kind, point);
    this.root.append(make("div", { class: "row" },
      make("div", { class: "label" }, make("span", {}, left), make("span", {}, right)), strip));
    return strip;
  }

  /** Draw a clip in a row of `total` samples, with what the worker answered; alone: the same clip's answer without company. */
  draw(clip, total, answer, alone = null) {
    this.total = total;
    this.root.replaceChildren();
    const { kernels, strides, hop, receptive_field: field } = this.geometry;
    const padded = total > clip.length ? `, then ${spaced(total - clip.length)} samples of padding` : "";
    this.row("waveform", `L = ${spaced(total)} samples, ${(total / RATE).toFixed(2)} s`, 84,
      `waveform, ${spaced(clip.length)} samples of sound${padded}`, "sample", this.waveform(clip));
    if (this.rows.includes("convolutions")) {
      let step = 1;
      answer.lengths.forEach((positions, i) => {
        step *= strides[i];
        const narrow = this.root.clientWidth / positions < 4; // pixels: too narrow to draw one by one
        const fill = narrow ? "var(--encoder)" : `repeating-linear-gradient(90deg, var(--encoder) 0 ${70 / positions}%, ` +
          `transparent ${70 / positions}% ${100 / positions}%)`;
        const cells = make("div", { class: "cells", style: `${this.across(0, positions * step)};background:${fill}` });
        this.row(`convolution ${i + 1} (kernel ${kernels[i]}, stride ${strides[i]})`,
          `T${i + 1} = ${spaced(positions)}, one every ${milliseconds(step)}`, 9, `${spaced(positions)} positions`, "frame", cells);
      });
    }
    const { frames, validFrames } = answer;
    const box = (t) => this.across(hop * t + (field - hop) / 2, hop * t + (field + hop) / 2 - hop * 0.14);
    const boxes = Array.from({ length: frames }, (_, t) => make("div", {
      class: "cells", style: `${box(t)};background:var(--frame);${t < validFrames ? "" : "opacity:0.3"}` }));
    const validity = validFrames < frames ? `, ${validFrames} of them valid for the model` : "";
    this.row("frames", `T = ${frames}${validity}`, 20, `${frames} frames side by side${validity}`, "frame", ...boxes);
    if (alone) this.change(answer, alone, box);
    const features = answer.hiddenStates.length / frames;
    this.row("features of each frame", `(T, D) = (${frames}, ${features})`, 128,
      `image of ${frames} columns of ${features} features, the last hidden state`, "frame", this.image(answer.hiddenStates, frames, features));
    this.letters(answer, box);
    if (total > clip.length) for (const strip of this.root.querySelectorAll(".strip:not(.letters)"))
      strip.append(make("div", { class: "padding", style: this.across(clip.length, total) }));
    this.legend(total > clip.length);
  }

  /** Lowest and highest sample of each of 600 stretches, as one filled path. */
  waveform(clip) {
    const loudest = clip.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6), steps = 600, above = [], below = [];
    for (let i = 0; i < steps; i++) {
      const part = clip.subarray(Math.floor((i * clip.length) / steps), Math.floor(((i + 1) * clip.length) / steps) + 1);
      const x = ((i * clip.length) / steps).toFixed(0);
      above.push(`${x},${(-Math.max(...part) / loudest).toFixed(3)}`);
      below.unshift(`${x},${(0.01 - Math.min(...part) / loudest).toFixed(3)}`);
    }
    const path = make("path", { d: `M${above.join("L")}L${below.join("L")}Z`, fill: "var(--wave)" });
    return make("svg", { viewBox: `0 -1.05 ${this.total} 2.1`, preserveAspectRatio: "none", "aria-hidden": "true" }, path);
  }

  /** One pixel per feature: blue below zero, white at zero, orange above. */
  image(hidden, frames, features) {
    const { hop, receptive_field: field } = this.geometry;
    const canvas = make("canvas", { width: frames, height: features, style: this.across((field - hop) / 2, hop * frames + (field - hop) / 2) });
    const context = canvas.getContext("2d"), picture = context.createImageData(frames, features);
    const spread = Math.sqrt(hidden.reduce((sum, value) => sum + value * value, 0) / hidden.length);
    for (let t = 0; t < frames; t++) for (let f = 0; f < features; f++) {
      const value = Math.max(-1, Math.min(1, hidden[t * features + f] / (2.2 * spread))), share = Math.abs(value);
      const [red, green, blue] = value < 0 ? [0, 90, 170] : [213, 94, 0];
      const at = 4 * (f * frames + t);
      picture.data.set([255 + share * (red - 255), 255 + share * (green - 255), 255 + share * (blue - 255), 255], at);
    }
    context.putImageData(picture, 0, 0);
    return canvas;
  }

  /** How far the padding moved each of the clip's own frames. */
  change(answer, alone, box) {
    const moved = movedFrames(answer, alone), most = Math.max(...moved, 1e-3);
    const bars = [...moved].map((value, t) => make("div", {
      class: "cells", style: `${box(t)};background:var(--head);top:${100 - (100 * value) / most}%` }));
    this.row("change of each frame", most > 1e-3 ? `at most ${most.toPrecision(2)}` : "none", 44,
      `how far each of the clip's ${moved.length} frames moved, ${most > 1e-3 ? `at most ${most.toPrecision(2)}` : "none"}`, "frame", ...bars);
  }

  /** The letters where they fall; a letter that would touch its neighbour goes a line down. */
  letters({ pieces, text }, box) {
    const ends = []; // right end of each line, in pixels
    const spans = pieces.filter(({ letter }) => letter !== " ").map(({ letter, start }) => {
      const left = ((this.geometry.hop * start) / this.total) * this.root.clientWidth;
      let line = ends.findIndex((end) => end <= left);
      if (line < 0) line = ends.length;
      ends[line] = left + 12;
      return make("span", { style: `${box(start).split(";")[0]};top:${2 + 18 * line}px`, "aria-hidden": "true" }, letter);
    });
    const strip = this.row("letters", "where they were heard", 8 + 18 * Math.max(2, ends.length),
      `letters from left to right: ${text || "none"}`, "frame", ...spans);
    strip.classList.add("letters");
  }

  legend(hatched) {
    const entry = (style, words) => make("span", {}, make("i", { style }), words);
    this.root.append(make("div", { class: "legend" },
      entry("background:rgb(0,90,170)", "feature below 0"), entry("background:rgb(213,94,0)", "above 0"),
      ...(hatched ? [entry("background:repeating-linear-gradient(135deg, var(--hatch) 0 1.5px, transparent 1.5px 6px)", "padding")] : []),
      entry("background:var(--highlight)", "chosen frame and its samples")));
  }

  /** Light up samples [start, end) in every row. */
  highlight(start, end) {
    this.root.querySelectorAll(".highlight").forEach((element) => element.remove());
    for (const strip of this.root.querySelectorAll(".strip:not(.letters)"))
      strip.append(make("div", { class: "highlight", style: this.across(start, end) }));
  }
}

/** One frame enlarged: its samples, and below them what each convolution leaves, until one position is left. */
function drawFrame(place, clip, t, { kernels, strides, hop, receptive_field: field }) {
  const part = clip.subarray(t * hop, t * hop + field), loudest = part.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  const wave = [...part].map((value, i) => `${i},${(16 - (14 * value) / loudest).toFixed(2)}`).join("L");
  const boxes = [];
  let left = part.length; // positions that are left of these samples
  kernels.forEach((kernel, i) => {
    left = Math.floor((left - kernel) / strides[i]) + 1;
    const wide = field / left, gap = Math.min(0.2 * wide, 2);
    for (let j = 0; j < left; j++) boxes.push(`M${j * wide + gap / 2},${36 + 11 * i}h${wide - gap}v8h${gap - wide}z`);
  });
  const picture = make("svg", { viewBox: `0 0 ${field} ${36 + 11 * kernels.length}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    make("path", { d: `M${wave}`, fill: "none", stroke: "var(--wave)", "stroke-width": 1.5, "vector-effect": "non-scaling-stroke" }),
    make("path", { d: boxes.join(""), fill: "var(--encoder)" }));
  place.replaceChildren(picture);
}

/** Largest change of a feature in each of the clip's own frames: (T, D) twice -> (own,). */
function movedFrames(answer, alone) {
  const features = alone.hiddenStates.length / alone.frames;
  return Float32Array.from({ length: alone.own }, (_, t) => {
    let most = 0;
    for (let i = t * features; i < (t + 1) * features; i++) most = Math.max(most, Math.abs(answer.hiddenStates[i] - alone.hiddenStates[i]));
    return most;
  });
}
