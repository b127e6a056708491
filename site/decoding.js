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

/** Greedy CTC: each frame's best letter; equal neighbours count once; the blank (id 0) goes. (T, V) -> text.
 *
 * confidence: mean over the letters of their probability, itself a mean over their frames; NaN if there are none. */
function decode(logits, frames, vocabulary, blank) {
  const size = vocabulary.length, pieces = [];
  let previous = blank;
  for (let t = 0; t < frames; t++) {
    const row = logits.subarray(t * size, (t + 1) * size);
    const best = row.indexOf(Math.max(...row));
    const probability = 1 / row.reduce((sum, value) => sum + Math.exp(value - row[best]), 0); // softmax, of the best alone
    if (best !== blank && best !== previous)
      pieces.push({ letter: vocabulary[best] === "|" ? " " : vocabulary[best], start: t, probabilities: [] });
    if (best !== blank) pieces.at(-1).probabilities.push(probability);
    previous = best;
  }
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const confidence = mean(pieces.filter(({ letter }) => letter !== " ").map(({ probabilities }) => mean(probabilities)));
  return { pieces, confidence, text: pieces.map(({ letter }) => letter).join("").replace(/ +/g, " ").trim() };
}
