// Runs in a worker of its own, so that the page stays quick while the model computes. It is handed checkpoints once and
// then questions: { id, norm, clip, total, valid }. It answers { id, ... } or { id, error }.

const models = {};

self.onmessage = ({ data: message }) => {
  if (message.weights) {
    const { norm, config, vocabulary, processing, weights } = message;
    models[norm] = { model: new Wav2Vec2ForCTC(config, readSafetensors(weights)), vocabulary, processing };
    return;
  }
  const { id, norm, clip, total, valid } = message;
  try {
    const { model, vocabulary, processing } = models[norm];
    const began = performance.now();
    const waveform = prepare(clip, total, processing.do_normalize); // (L,)
    const output = model.forward(waveform, valid);
    const milliseconds = performance.now() - began;
    const own = model.lengths(clip.length).at(-1); // only the clip's own frames are read, not those of its padding
    const decoded = decode(output.logits, own, vocabulary, model.config.pad_token_id);
    const unsure = decoded.confidence < processing.unsure_below;
    self.postMessage({ id, ...output, ...decoded, unsure, own, milliseconds, lengths: model.lengths(total) });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
