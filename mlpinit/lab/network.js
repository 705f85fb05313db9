// The network of the book in JavaScript: what mlpinit.init, mlp and normalize do, for one batch.
//
// Everything is float64, beside which torch's own float32 answers are wrong in the seventh digit.
// Only what is counted as flat is what float32 has, where a slope can be exactly 0.
(() => {
  const lab = (globalThis.mlpinitLab ??= {});
  const { fround, exp, abs, sqrt } = Math;
  const VOCAB = 27;
  const BLOCK = 3;
  const N_EMBD = 10;
  const FAN_IN = BLOCK * N_EMBD;
  const EPS = 1e-5; // of batch norm
  const CUT = 0.99; // |h| of a saturated tanh
  const SLOPE_CUT = 0.02; // of the largest slope: flat, for any activation
  const OUTPUT_SCALE = 0.01;
  const LEAK = 0.01;

  const sigmoid = (z) => 1 / (1 + exp(-z));
  const density = (z) => exp(-0.5 * z * z) / sqrt(2 * Math.PI);

  // Φ, the normal distribution: by Simpson's rule once into a table, by Hermite's cubics between.
  const PHI = { low: -15, high: 9, step: 1 / 128 };
  function tabulate() {
    const { low, high, step } = PHI;
    const table = new Float64Array((high - low) / step + 2);
    table[0] = density(low) / -low;
    for (let i = 1; i < table.length; i++) {
      const [a, b] = [low + (i - 1) * step, low + i * step];
      table[i] = table[i - 1] + ((density(a) + 4 * density((a + b) / 2) + density(b)) * step) / 6;
    }
    return table;
  }
  function cdf(z) {
    const { low, high, step } = PHI;
    if (!(z > low)) return 0;
    if (z >= high) return 1;
    const table = (PHI.table ??= tabulate());
    const i = Math.floor((z - low) / step);
    const a = low + i * step;
    const t = (z - a) / step;
    const rise = t * t * (3 - 2 * t);
    const bend = t * (1 - t) * step * ((1 - t) * density(a) - t * density(a + step));
    return table[i] + rise * (table[i + 1] - table[i]) + bend;
  }

  // h = f(z); slope(z, h) = f'(z); slope32(z, h, slope) is that slope as torch's float32 has it,
  // which matters where it becomes exactly 0: where h rounds to ±1, or exp runs out of its range.
  const rounded = (z, h, slope) => fround(slope);
  const activations = {
    tanh: {
      label: "tanh", most: 1, gain: 5 / 3,
      f: Math.tanh,
      slope: (z, h) => 1 - h * h,
      slope32: (z, h) => 1 - fround(fround(h) * fround(h)),
    },
    sigmoid: {
      label: "sigmoid", most: 0.25, gain: 1,
      f: sigmoid,
      slope: (z, h) => h * (1 - h),
      slope32(z, h) {
        const h32 = fround(1 / fround(1 / h)); // 1/h is 1 + exp(-z), which float32 rounds
        return fround(h32 * fround(1 - h32));
      },
    },
    relu: {
      label: "ReLU", most: 1, gain: Math.SQRT2,
      f: (z) => (z > 0 ? z : 0),
      slope: (z) => (z > 0 ? 1 : 0),
      slope32: rounded,
    },
    leaky_relu: {
      label: "leaky ReLU", most: 1, gain: sqrt(2 / (1 + LEAK * LEAK)),
      f: (z) => (z > 0 ? z : LEAK * z),
      slope: (z) => (z > 0 ? 1 : LEAK),
      slope32: rounded,
    },
    elu: {
      label: "ELU", most: 1,
      f: (z) => (z > 0 ? z : Math.expm1(z)),
      slope: (z) => (z > 0 ? 1 : exp(z)),
      slope32: rounded,
    },
    gelu: {
      label: "GELU", most: 1.1289041451851393,
      f: (z) => z * cdf(z),
      slope: (z) => cdf(z) + z * density(z),
      slope32: (z, h, slope) => (z < -14.344 ? 0 : fround(slope)),
    },
    silu: {
      label: "SiLU", most: 1.0998393194927,
      f: (z) => z * sigmoid(z),
      slope(z, h) {
        const s = sigmoid(z);
        return s + h * (1 - s);
      },
      slope32: (z, h, slope) => (z < -88.7228 ? 0 : fround(slope)),
    },
  };

  // Standard normals in the order of init.draw: C, then W and b of each layer. A normalised layer
  // draws no bias; the output layer's is multiplied by 0 here. `twister` stands where they end.
  function draw({ seed, width, depth, normalize }, twister = new lab.Twister(seed)) {
    const C = twister.normals(VOCAB * N_EMBD);
    const W = [];
    const b = [];
    for (let layer = 0; layer < depth; layer++) {
      W.push(twister.normals((layer ? width : FAN_IN) * width));
      b.push(normalize ? new Float64Array(width) : twister.normals(width));
    }
    W.push(twister.normals(width * VOCAB));
    b.push(twister.normals(VOCAB));
    return { C, W, b };
  }

  // One network on one batch. `set` draws it and lays everything out in one piece of memory; `run`
  // scales its weights and biases, which needs no copy of them: z is s·(x N) + t·n.
  class Network {
    constructor({ X, Y }, { plainly = false } = {}) {
      Object.assign(this, { X, Y, plainly, batch: Y.length });
    }

    // `form` is {seed, width, depth, normalize}; `draws` are C, W and b where they are not its own.
    set(form, draws = draw(form)) {
      this.form = form;
      const { width, depth } = form;
      const { padded } = lab;
      const sizes = [FAN_IN, ...Array(depth).fill(width), VOCAB];
      const weights = sizes.slice(1).map((n, l) => [sizes[l] * padded(n), n * padded(sizes[l])]);
      const rows = (n) => this.batch * padded(n);
      const total = rows(FAN_IN) + (3 * depth + 2) * rows(width) + 2 * rows(VOCAB);
      this.memory = lab.memoryOf(8 * (total + weights.flat().reduce((x, y) => x + y)), this.memory);
      const all = new Float64Array(this.memory.buffer);
      all.fill(0);
      let at = 0;
      const take = (n) => all.subarray(at, (at += n));
      const x = take(rows(FAN_IN));
      this.first = take(rows(width)); // x N of the first layer, which no scale changes
      this.dx = take(rows(width)); // a gradient before the normalisation
      const layers = () => Array.from({ length: depth }, () => take(rows(width)));
      [this.z, this.h, this.dz] = [layers(), layers(), layers()];
      [this.logits, this.dlogits] = [take(rows(VOCAB)), take(rows(VOCAB))];
      this.W = [];
      this.transposed = [];
      draws.W.forEach((W, l) => {
        const [m, n] = [sizes[l], sizes[l + 1]];
        lab.pack(this.W[l] = take(weights[l][0]), m, n, (i, j) => W[i * n + j]);
        if (l) lab.pack(this.transposed[l] = take(weights[l][1]), n, m, (i, j) => W[j * n + i]);
      });
      this.b = draws.b;
      this.matmul = lab.matmul(this.memory, { plainly: this.plainly });
      this.X.forEach((token, place) => {
        const from = (place / BLOCK | 0) * padded(FAN_IN) + (place % BLOCK) * N_EMBD;
        for (let i = 0; i < N_EMBD; i++) x[from + i] = draws.C[token * N_EMBD + i];
      });
      this.times(x, this.W[0], this.first, FAN_IN, width);
      this.inverseStd = Array.from({ length: depth }, () => new Float64Array(width));
      this.flat = Array.from({ length: depth }, () => new Uint8Array(this.batch * width));
    }

    times(a, b, c, k, n) {
      const { padded } = lab;
      this.matmul(a.byteOffset, b.byteOffset, c.byteOffset, this.batch, k, padded(n),
        8 * padded(k), 8 * padded(n));
    }

    // Forward, loss, backward, and the numbers of each layer. `scale(fanIn)` is W's factor.
    run({ activation, scale, bias }) {
      const { width, depth, normalize } = this.form;
      const f = activations[activation];
      const factor = (l) => scale(l ? width : FAN_IN);
      for (let l = 0; l < depth; l++) {
        if (l) this.times(this.h[l - 1], this.W[l], this.z[l], width, width);
        else this.z[0].set(this.first);
        if (normalize) this.standardise(l, factor(l));
        this.activate(l, f, normalize ? 1 : factor(l), bias);
      }
      this.times(this.h[depth - 1], this.W[depth], this.logits, width, VOCAB);
      const loss = this.crossEntropy();
      this.times(this.dlogits, this.transposed[depth], this.dz[depth - 1], VOCAB, width);
      const layers = Array(depth);
      for (let l = depth - 1; l >= 0; l--) {
        layers[l] = this.measure(l, f, l < depth - 1 ? factor(l + 1) : OUTPUT_SCALE);
        if (!l) break;
        const before = normalize ? this.throughNorm(l) : this.dz[l];
        this.times(before, this.transposed[l], this.dz[l - 1], width, width);
      }
      return { layers, loss };
    }

    // visit(place, unit) for every entry of a layer.
    entries(visit) {
      const { width } = this.form;
      const stride = lab.padded(width);
      for (let row = 0; row < this.batch; row++) {
        for (let j = 0, at = row * stride; j < width; j++, at++) visit(at, j);
      }
    }

    // s·z + t·n, and h.
    activate(l, { f }, s, t) {
      const { width } = this.form;
      const [z, h, n] = [this.z[l], this.h[l], this.b[l]];
      for (let row = 0; row < this.batch; row++) {
        for (let j = 0, at = row * lab.padded(width); j < width; j++, at++) {
          z[at] = s * z[at] + t * n[j];
          h[at] = f(z[at]);
        }
      }
    }

    // z becomes (s·z − mean) / √(variance + ε), each unit over the batch.
    standardise(l, s) {
      const { width } = this.form;
      const [z, std] = [this.z[l], this.inverseStd[l].fill(0)];
      const mean = new Float64Array(width);
      this.entries((at, j) => (mean[j] += (s * z[at]) / this.batch));
      this.entries((at, j) => (std[j] += (s * z[at] - mean[j]) ** 2 / this.batch));
      for (let j = 0; j < width; j++) std[j] = 1 / sqrt(std[j] + EPS);
      this.entries((at, j) => (z[at] = (s * z[at] - mean[j]) * std[j]));
    }

    // The gradient before the normalisation, from that after it.
    throughNorm(l) {
      const { width } = this.form;
      const [z, dz, dx, std] = [this.z[l], this.dz[l], this.dx, this.inverseStd[l]];
      const [mean, along] = [new Float64Array(width), new Float64Array(width)];
      this.entries((at, j) => {
        mean[j] += dz[at] / this.batch;
        along[j] += (dz[at] * z[at]) / this.batch;
      });
      this.entries((at, j) => (dx[at] = (dz[at] - mean[j] - z[at] * along[j]) * std[j]));
      return dx;
    }

    // The mean of −log softmax(logits)[y], and (softmax − onehot) / batch into dlogits.
    crossEntropy() {
      const stride = lab.padded(VOCAB);
      let loss = 0;
      this.Y.forEach((y, row) => {
        const from = row * stride;
        const logits = this.logits.subarray(from, from + VOCAB);
        const d = this.dlogits.subarray(from, from + VOCAB);
        for (let j = 0; j < VOCAB; j++) logits[j] *= OUTPUT_SCALE;
        const most = Math.max(...logits);
        let total = 0;
        for (let j = 0; j < VOCAB; j++) total += d[j] = exp(logits[j] - most);
        for (let j = 0; j < VOCAB; j++) d[j] /= total * this.batch;
        d[y] -= 1 / this.batch;
        loss += (Math.log(total) + most - logits[y]) / this.batch;
      });
      return loss;
    }

    // What layer l shows, once dz[l] holds its ∂ℓ/∂h but for `factor`; dz[l] then is ∂ℓ/∂z.
    measure(l, f, factor) {
      const { width } = this.form;
      const { slope: slopeOf, slope32: slope32Of } = f;
      const [z, h, dz, flat] = [this.z[l], this.h[l], this.dz[l], this.flat[l].fill(0)];
      const steepest = new Float64Array(width); // largest slope of each unit, in float32
      const cut = f === activations.tanh ? fround(CUT) : 0;
      const slopeCut = fround(SLOPE_CUT * f.most);
      let saturated = 0, sumZ = 0, sumZ2 = 0, sumH = 0, sumH2 = 0, sumD2 = 0;
      for (let row = 0, cell = 0; row < this.batch; row++) {
        for (let j = 0, at = row * lab.padded(width); j < width; j++, at++, cell++) {
          const zi = z[at], hi = h[at];
          const slope = slopeOf(zi, hi);
          const steep = abs(slope32Of(zi, hi, slope));
          if (steep > steepest[j]) steepest[j] = steep;
          if (cut ? fround(abs(hi)) > cut : steep < slopeCut) {
            flat[cell] = 1;
            saturated++;
          }
          const d = (dz[at] *= factor * slope);
          sumZ += zi;
          sumZ2 += zi * zi;
          sumH += hi;
          sumH2 += hi * hi;
          sumD2 += d * d;
        }
      }
      const n = this.batch * width;
      const std = (sum, squares) => sqrt(Math.max(0, squares / n - (sum / n) ** 2));
      return {
        stdZ: std(sumZ, sumZ2),
        stdH: std(sumH, sumH2),
        gradient: sqrt(sumD2 / n),
        saturated,
        soft: steepest.reduce((count, s) => count + (s < slopeCut), 0),
        hard: steepest.reduce((count, s) => count + (s === 0), 0),
        n,
      };
    }
  }

  Object.assign(lab, { activations, draw, Network });
})();
