// The shape explorer's numbers and sentences. It evaluates the formulas that Python sent and has none of its own.

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
function sizes(formulas, B, L) {
  const values = { B, L };
  let gone = false;
  for (const [name, tree] of Object.entries(formulas.sizes)) {
    const value = evaluate(tree, values);
    gone = gone || value <= 0;
    values[name] = gone ? 0 : value;
  }
  return values;
}

// ---- how numbers are written
const spaced = (number) => String(number).replace(/\B(?=(\d{3})+(?!\d))/g, "\u00a0");
const plural = (number, word) => `${spaced(number)} ${word}${number === 1 ? "" : "s"}`;

function amount(number, unit, steps) {
  let index = 0;
  while (number >= 1000 && index < steps.length - 1) { number /= 1000; index += 1; }
  return `${number >= 100 || index === 0 ? Math.round(number) : number.toPrecision(3)} ${steps[index]}${unit}`;
}
const bytes = (number) => amount(number, "B", ["", "k", "M", "G", "T", "P"]);
const count = (number) => amount(number, "", ["", "thousand", "million", "billion", "trillion", "quadrillion"]).trim();

// A typed length: "16000", "16 000", "16,000" and "16_000" are the same; NaN for anything else.
function typedLength(text) {
  const typed = text.trim();
  const grouped = /^\d{1,3}([\s,_\u00a0]\d{3})+$/.test(typed) ? typed.replace(/[\s,_\u00a0]/g, "") : typed;
  return /^\d+$/.test(grouped) ? Number(grouped) : NaN;
}

// ---- the state of one drawing
// inputs: {lengths, clip, frame, sample, rate}. Returns sizes of the batch and of each clip, and what is pointed at.
function derive(formulas, { lengths, clip, frame, sample, rate }) {
  const longest = Math.max(...lengths), { geometry } = formulas;
  const all = sizes(formulas, lengths.length, longest);
  const clips = lengths.map((length, index) => {
    const values = sizes(formulas, lengths.length, length), T = values.T;
    const unread = T ? evaluate(geometry.unread, { L: length, T }) : length;
    const empty = formulas.encoder.find((convolution) => !values[convolution.after]); // where the clip runs out
    return { index, length, values, T, unread, empty, padded: length < longest,
      sentence: clipSentence(formulas, values, unread, empty, rate) };
  });
  const own = clips[clip] || clips[0];
  const chosen = chosenFrames(geometry, own, frame, sample);
  return { all, clips, own, frame, sample, chosen, rate, padded: clips.some((other) => other.padded),
    pointed: pointedSentence(geometry, own, frame, sample, chosen, rate) };
}

function clipSentence({ geometry }, values, unread, empty, rate) {
  const { L, T } = values;
  const text = `${plural(L, "sample")} = ${(L / rate).toFixed(3)} s → ${plural(T, "frame")}`;
  if (T) return text + (unread ? `, the last ${plural(unread, "sample")} unread` : ", every sample read");
  const missing = geometry.receptive_field - L;
  return `${text}: it runs out at ${empty.name}, which gets ${plural(values[empty.before], "position")} and needs ${empty.kernel}; `
    + `${plural(missing, "sample")} ${missing === 1 ? "is" : "are"} missing`;
}

// First and last of the frames that are pointed at, or that read the sample that is; null for none.
function chosenFrames(geometry, own, frame, sample) {
  if (frame >= 0) return frame < own.T ? [frame, frame] : null;
  if (sample < 0 || sample >= own.length) return null;
  const first = evaluate(geometry.first, { n: sample }), last = Math.min(own.T - 1, evaluate(geometry.last, { n: sample }));
  return first <= last ? [first, last] : null;
}

function pointedSentence(geometry, own, frame, sample, chosen, rate) {
  const ms = (samples) => (samples * 1000 / rate).toFixed(1), who = `clip ${own.index}`;
  if (frame >= 0) {
    if (!chosen) return `${who} has no frame ${frame}: ${own.T ? `frames 0 … ${own.T - 1}` : "no frame at all"}`;
    const start = evaluate(geometry.start, { t: frame }), stop = evaluate(geometry.stop, { t: frame });
    return `frame ${frame} of ${who} reads samples ${start} … ${stop - 1}: ${ms(start)} … ${ms(stop)} ms, `
      + `centre ${ms((start + stop) / 2)} ms`;
  }
  if (sample < 0) return `point at a frame or a sample of ${who}`;
  if (sample >= own.length) return `${who} has no sample ${sample}: it has ${own.length}`;
  const text = `sample ${sample} of ${who} (${ms(sample)} ms): `;
  if (chosen) return text + (chosen[0] === chosen[1] ? `frame ${chosen[0]} reads it` : `frames ${chosen[0]} … ${chosen[1]} read it`);
  const why = !own.T ? "no frame fits" : sample >= own.length - own.unread ? "it is in the unread tail" : "it lies between frames";
  return `${text}no frame reads it: ${why}`;
}

// ---- masks: how valid and padding are written in each convention
const CONVENTIONS = {
  valid: { text: "True = valid (Hugging Face)", signs: ["True", "False"] },
  padding: { text: "True = padding (fairseq, key_padding_mask)", signs: ["False", "True"] },
  additive: { text: "additive: 0 = valid, −3.4e38 = padding", signs: ["0", "−3.4e38"] },
  lengths: { text: "lengths: one number per clip (torchaudio)", signs: null },
};

function maskLines({ all, clips }, convention, masked) {
  if (!masked) {
    return ["no mask is handed: the model takes every sample and every frame for valid",
      `attention: every query sees all ${spaced(all.T)} keys of every clip`];
  }
  const { signs } = CONVENTIONS[convention];
  if (!signs) {
    return [`samples: [${clips.map((clip) => clip.length).join(", ")}]`, `frames: [${clips.map((clip) => clip.T).join(", ")}]`];
  }
  const run = (valid, total) => [[signs[0], valid], [signs[1], total - valid]]
    .filter(([, many]) => many > 0).map(([sign, many]) => `${sign} × ${spaced(many)}`).join(", ");
  return clips.map((clip, index) => `clip ${index}: sample mask ${run(clip.length, all.L)} · frame mask ${run(clip.T, all.T)} · `
    + `attention mask: each of ${spaced(all.T)} rows ${run(clip.T, all.T)}`);
}

// ---- what stays, what grows, where padding gets in
function fixedNumbers({ constants, depth, parameters, costs }) {
  const names = { C: "C, channels of one frame", D: "D, features of one frame", H: "H, attention heads", V: "V, vocabulary" };
  const known = Object.keys(names).filter((letter) => constants[letter]);
  const entries = Object.fromEntries(known.map((letter) => [names[letter], String(constants[letter])]));
  return { ...entries, "Transformer layers": String(depth), parameters: `${spaced(parameters)} (${bytes(costs.parameters)})` };
}

function growingNumbers({ all }, { costs }) {
  const at = (tree) => evaluate(tree, all);
  return {
    "T, frames of the longest clip": spaced(all.T),
    "T × T, scores of one head": spaced(all.T * all.T),
    "waveforms": bytes(at(costs.waveforms)),
    "output of the first convolution": bytes(at(costs.first_convolution)),
    "one hidden state": bytes(at(costs.hidden_state)),
    "attention weights of one layer, if stored": bytes(at(costs.attention_weights)),
    "multiply-adds": count(at(costs.multiply_adds)),
  };
}

function leakSentence({ masked, leak }, padded) {
  const way = masked ? "with the mask" : "without a mask";
  if (!leak.entry) return `${way}: nowhere. Valid frames are the same as alone, to float error.`;
  const none = padded ? "" : "nowhere yet, for no clip is padded. With clips of unequal length: ";
  return `${way}: ${none}at ${leak.entry}. ${leak.reason}. Reached: ${leak.stages.join(", ")}.`;
}
