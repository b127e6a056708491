// wav2vec 2.0 in plain JavaScript: waveform in, one row of logits per frame out. Read it beside w2vlearn/model, whose
// order and names it keeps: feature encoder, projection, positions, Transformer, head.
//
// One clip at a time: each row of a batch is computed by itself, and all that a row gets from its company is its length.
// L samples · T frames · C channels · D features · H heads of d · V letters. Arrays are flat, one row per position:
// the number in row t, column c of a (T, C) array is array[t * C + c].

/** Each window of the input times a weight matrix: (T_in, C_in) -> (rows, C_out).
 *
 * A Linear layer reads row after row: windows of C_in numbers, C_in onward each time. A convolution is the same Linear
 * layer on windows that overlap: kernel rows of C_in numbers, stride rows onward each time. */
function linear(input, rows, onward, { weight, bias, outputs, width }) {
  const output = new Float32Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    const start = row * onward;
    for (let o = 0; o < outputs; o += 4) { // four outputs at once: the processor adds them side by side
      let w0 = o * width, w1 = w0 + width, w2 = w1 + width, w3 = w2 + width;
      let a = 0, b = 0, c = 0, d = 0;
      for (let i = start, end = start + width; i < end; i++) {
        const x = input[i];
        a += x * weight[w0++]; b += x * weight[w1++]; c += x * weight[w2++]; d += x * weight[w3++];
      }
      const at = row * outputs + o;
      output[at] = a; output[at + 1] = b; output[at + 2] = c; output[at + 3] = d;
    }
    if (bias) for (let o = 0; o < outputs; o++) output[row * outputs + o] += bias[o];
  }
  return output;
}

/** x times the share of a normal distribution that lies below x; erf by Abramowitz and Stegun, 7.1.26. In place. */
function gelu(array) {
  for (let i = 0; i < array.length; i++) {
    const x = array[i], z = Math.abs(x) * Math.SQRT1_2, t = 1 / (1 + 0.3275911 * z);
    const tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    const erf = 1 - tail * Math.exp(-z * z);
    array[i] = 0.5 * x * (1 + (x < 0 ? -erf : erf));
  }
  return array;
}

/** Mean 0 and variance 1 over `count` numbers from `start`, `step` apart, then times weight plus bias. In place. */
function normalize(array, start, step, count, eps, scale) {
  let sum = 0, squares = 0;
  for (let i = 0, at = start; i < count; i++, at += step) sum += array[at];
  const mean = sum / count;
  for (let i = 0, at = start; i < count; i++, at += step) squares += (array[at] - mean) ** 2;
  const factor = 1 / Math.sqrt(squares / count + eps);
  for (let i = 0, at = start; i < count; i++, at += step) array[at] = scale(i, (array[at] - mean) * factor);
}

/** LayerNorm: over the channels of each position. No position hears of another. (T, C) -> (T, C), in place. */
function layerNorm(array, { weight, bias }, eps) {
  const channels = weight.length;
  for (let at = 0; at < array.length; at += channels)
    normalize(array, at, 1, channels, eps, (channel, value) => value * weight[channel] + bias[channel]);
  return array;
}

/** GroupNorm, one group per channel: over all positions, padding included. (T, C) -> (T, C), in place. */
function groupNorm(array, { weight, bias }, eps) {
  const channels = weight.length, positions = array.length / channels;
  for (let channel = 0; channel < channels; channel++)
    normalize(array, channel, channels, positions, eps, (_, value) => value * weight[channel] + bias[channel]);
  return array;
}

const add = (a, b) => a.map((value, i) => value + b[i]); // residual: (T, D) + (T, D) -> (T, D)

class Wav2Vec2ForCTC {
  /** config: config.json, parsed. tensors: what readSafetensors returns. */
  constructor(config, tensors) {
    this.config = config;
    this.tensors = tensors;
    this.convolutions = config.conv_kernel.map((_, i) =>
      this.asWindows(this.layer(`wav2vec2.feature_extractor.conv_layers.${i}.conv`)));
    this.positions = this.positionGroups("wav2vec2.encoder.pos_conv_embed.conv");
  }

  /** Weight and bias of a layer by its name in the checkpoint; weight (C_out, ...). */
  layer(name) {
    const { shape, data: weight } = this.tensors[`${name}.weight`];
    return { shape, weight, bias: this.tensors[`${name}.bias`]?.data, outputs: shape[0], width: weight.length / shape[0] };
  }

  /** A convolution's weight in the order of a window: (C_out, C_in, kernel) -> (C_out, kernel, C_in). */
  asWindows({ shape: [outputs, inputs, kernel], weight, bias }) {
    const turned = weight.map((_, at) => {
      const o = Math.floor(at / (kernel * inputs)), k = Math.floor(at / inputs) % kernel, i = at % inputs;
      return weight[(o * inputs + i) * kernel + k];
    });
    return { weight: turned, bias, outputs, width: kernel * inputs };
  }

  /** One Linear layer per group, from weight norm's length g (1, 1, kernel) and direction v (D, D / groups, kernel). */
  positionGroups(name) {
    const { data: g } = this.tensors[`${name}.parametrizations.weight.original0`];
    const { data: v, shape: [features, inputs, kernel] } = this.tensors[`${name}.parametrizations.weight.original1`];
    const squares = new Float64Array(kernel);
    v.forEach((value, at) => { squares[at % kernel] += value * value; });
    const weight = v.map((value, at) => (g[at % kernel] * value) / Math.sqrt(squares[at % kernel])); // as v
    const outputs = features / this.config.num_conv_pos_embedding_groups;
    const part = (array, group, size) => array.subarray(group * size, (group + 1) * size);
    const bias = this.tensors[`${name}.bias`].data;
    return Array.from({ length: this.config.num_conv_pos_embedding_groups }, (_, group) => this.asWindows({
      shape: [outputs, inputs, kernel], weight: part(weight, group, outputs * inputs * kernel), bias: part(bias, group, outputs),
    }));
  }

  /** Positions after each convolution: a window exists only if all of it exists. L -> [T1, ..., T7]. */
  lengths(samples) {
    const { conv_kernel: kernel, conv_stride: stride } = this.config;
    return kernel.map((size, i) => (samples = Math.max(0, Math.floor((samples - size) / stride[i]) + 1)));
  }

  /** Waveform (L,) -> logits (T, V).
   *
   * valid: how many samples the mask calls valid, counted from the left; null if the model is handed no mask. */
  forward(waveform, valid = null) {
    const features = this.featureEncoder(waveform); // (L,) -> (T, C)
    const frames = this.lengths(waveform.length).at(-1); // T
    const validFrames = valid === null ? frames : this.lengths(valid).at(-1);
    if (!validFrames) throw new Error(`one frame needs more than ${valid ?? waveform.length} valid samples`);
    const projected = this.featureProjection(features, frames); // (T, C) -> (T, D)
    const hiddenStates = this.encoder(projected, frames, validFrames); // (T, D) -> (T, D)
    const logits = linear(hiddenStates, frames, this.config.hidden_size, this.layer("lm_head")); // (T, D) -> (T, V)
    return { logits, hiddenStates, frames, validFrames };
  }

  /** Stage 1: seven convolutions. The norm is all that differs between BASE ("group") and LARGE_LV60 ("layer"). */
  featureEncoder(waveform) {
    const { conv_dim: channels, conv_stride: stride, feat_extract_norm: kind } = this.config;
    let hidden = waveform; // (L,): one channel
    this.lengths(waveform.length).forEach((positions, i) => {
      const onward = stride[i] * (i ? channels[i - 1] : 1);
      hidden = linear(hidden, positions, onward, this.convolutions[i]); // (T_in, C_in) -> (T_out, C)
      const norm = `wav2vec2.feature_extractor.conv_layers.${i}.layer_norm`;
      if (kind === "layer") layerNorm(hidden, this.layer(norm), 1e-5);
      else if (i === 0) groupNorm(hidden, this.layer(norm), 1e-5); // here padding gets in: it is part of the mean
      gelu(hidden);
    });
    return hidden; // (T, C)
  }

  /** Stage 2: from C channels to D features, frame by frame. Length never enters. */
  featureProjection(features, frames) {
    layerNorm(features, this.layer("wav2vec2.feature_projection.layer_norm"), this.config.layer_norm_eps); // (T, C)
    return linear(features, frames, this.config.conv_dim.at(-1), this.layer("wav2vec2.feature_projection.projection"));
  }

  /** Stage 3: a convolution over many frames, group by group, added to the frames as their position. (T, D) -> (T, D) */
  positionalEmbedding(hidden, frames) {
    const { hidden_size: D, num_conv_pos_embeddings: kernel } = this.config;
    const before = kernel >> 1, output = new Float32Array(frames * D);
    this.positions.forEach((group, index) => {
      const size = group.outputs; // D / groups
      const padded = new Float32Array((frames + kernel) * size); // zeros on both sides
      for (let t = 0; t < frames; t++) for (let i = 0; i < size; i++)
        padded[(before + t) * size + i] = hidden[t * D + index * size + i];
      const mixed = gelu(linear(padded, frames, size, group)); // (T + kernel, D / groups) -> (T, D / groups)
      for (let t = 0; t < frames; t++) output.set(mixed.subarray(t * size, (t + 1) * size), t * D + index * size);
    });
    return output;
  }

  /** Stage 4: the Transformer; LayerNorm after each part (post-norm) or before it (pre-norm, "stable"). */
  encoder(hidden, frames, validFrames) {
    const { hidden_size: D, num_hidden_layers: depth, do_stable_layer_norm: preNorm, layer_norm_eps: eps } = this.config;
    const norm = (array, name) => layerNorm(array, this.layer(`wav2vec2.encoder.${name}`), eps); // in place
    hidden.fill(0, validFrames * D); // frame mask (T,): padded frames become 0
    hidden = add(hidden, this.positionalEmbedding(hidden, frames)); // (T, D)
    if (!preNorm) norm(hidden, "layer_norm");
    for (let i = 0; i < depth; i++) {
      const attend = (array) => this.attention(array, frames, validFrames, `wav2vec2.encoder.layers.${i}.attention`);
      const feed = (array) => this.feedForward(array, frames, `wav2vec2.encoder.layers.${i}.feed_forward`);
      const first = `layers.${i}.layer_norm`, second = `layers.${i}.final_layer_norm`;
      if (preNorm) {
        hidden = add(hidden, attend(norm(hidden.slice(), first))); // (T, D)
        hidden = add(hidden, feed(norm(hidden.slice(), second))); // (T, D)
      } else {
        hidden = norm(add(hidden, attend(hidden)), first); // (T, D)
        hidden = norm(add(hidden, feed(hidden)), second); // (T, D)
      }
    }
    return preNorm ? norm(hidden, "layer_norm") : hidden;
  }

  /** Every frame asks all valid frames. The attention mask acts here and nowhere else: padded keys are not asked. */
  attention(hidden, frames, validFrames, name) {
    const { hidden_size: D, num_attention_heads: H } = this.config;
    const d = D / H, context = new Float32Array(frames * D), weights = new Float64Array(validFrames);
    const [query, key, value] = ["q_proj", "k_proj", "v_proj"].map(
      (part) => linear(hidden, frames, D, this.layer(`${name}.${part}`))); // (T, D) -> 3 x (T, D): H heads side by side
    for (let head = 0; head < H; head++) {
      for (let t = 0; t < frames; t++) {
        const q = t * D + head * d;
        let highest = -Infinity, sum = 0;
        for (let s = 0; s < validFrames; s++) { // one row of the scores (T, T), valid keys only
          let score = 0;
          for (let i = 0, k = s * D + head * d; i < d; i++) score += query[q + i] * key[k + i];
          weights[s] = score / Math.sqrt(d);
          highest = Math.max(highest, weights[s]);
        }
        for (let s = 0; s < validFrames; s++) sum += (weights[s] = Math.exp(weights[s] - highest)); // softmax
        for (let s = 0; s < validFrames; s++) {
          const weight = weights[s] / sum;
          for (let i = 0, v = s * D + head * d; i < d; i++) context[q + i] += weight * value[v + i]; // (T, D)
        }
      }
    }
    return linear(context, frames, D, this.layer(`${name}.out_proj`)); // (T, D) -> (T, D)
  }

  /** Two Linear layers on each frame alone. */
  feedForward(hidden, frames, name) {
    const { hidden_size: D, intermediate_size: wide } = this.config;
    const inner = gelu(linear(hidden, frames, D, this.layer(`${name}.intermediate_dense`))); // (T, D) -> (T, 4 D)
    return linear(inner, frames, wide, this.layer(`${name}.output_dense`)); // (T, 4 D) -> (T, D)
  }
}
