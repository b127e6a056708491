// Before the model and after it: bring a clip to mean 0 and variance 1, pad it, and read text out of logits.

/** The clip as the model was trained to get it, zeros behind it up to `total` samples: (clip,) -> (total,).
 *
 * Mean and variance are the clip's own: padding comes later and must not count. */
function prepare(clip, total, doNormalize) {
  const waveform = new Float32Array(total);
  if (!doNormalize) { waveform.set(clip); return waveform; }
  const mean = clip.reduce((sum, value) => sum + value, 0) / clip.length;
  const variance = clip.reduce((sum, value) => sum + (value - mean) ** 2, 0) / clip.length;
  const factor = 1 / Math.sqrt(variance + 1e-7);
  clip.forEach((value, i) => { waveform[i] = (value - mean) * factor; });
  return waveform;
}

/** Greedy CTC: each frame's best letter; equal neighbours count once; the blank (id 0) goes. (T, V) -> text. */
function decode(logits, frames, vocabulary, blank) {
  const size = vocabulary.length, pieces = [];
  let previous = blank;
  for (let t = 0; t < frames; t++) {
    let best = 0;
    for (let v = 1; v < size; v++) if (logits[t * size + v] > logits[t * size + best]) best = v;
    if (best === previous && best !== blank) pieces.at(-1).end = t + 1;
    else if (best !== blank) pieces.push({ letter: vocabulary[best] === "|" ? " " : vocabulary[best], start: t, end: t + 1 });
    previous = best;
  }
  return { pieces, text: pieces.map((piece) => piece.letter).join("").replace(/ +/g, " ").trim() };
}
