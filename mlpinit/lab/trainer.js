// Training in the page: what mlpinit.train.sgd does, by the hand-derived gradients, in float32.
//
// A Trainer is one network on the embedded corpus. The draws and the batches are those of the
// package: the same seed and settings give the same losses. Nothing here draws or touches the page,
// so that it runs in a worker.
(() => {
  const lab = (globalThis.mlpinitLab ??= {});
  const { fround, abs, sqrt, exp, log } = Math;
  const VOCAB = 27;
  const BLOCK = 3;
  const N_EMBD = 10;
  const FAN_IN = BLOCK * N_EMBD;
  const EPS = 1e-5; // of batch norm
  const CUT = fround(0.99);
  const SLOPE_CUT = 0.02;
  const CHUNK = 256; // contexts at a time in a census
  const wide = (n) => lab.padded(n, 8);

  // tanh by one exponential, rounded to float32 as it is stored: ±1 from |z| of about 9 on.
  const tanh = (z) => 1 - 2 / (exp(2 * z) + 1);

  // The factors of a scheme, as init.Scheme has them: weight(fanIn, fanOut), bias, the output's two.
  const GAIN = { tanh: 5 / 3, sigmoid: 1, relu: Math.SQRT2, leaky_relu: sqrt(2 / 1.0001) };
  const schemes = {
    as_drawn: () => ({ weight: () => 1, bias: 1, outputWeight: 1, outputBias: 1 }),
    quiet_output: () => ({ weight: () => 1, bias: 1 }),
    scaled: ({ scale, bias }) => ({ weight: () => scale, bias }),
    xavier: ({ bias }) => ({ weight: (i, o) => sqrt(2 / (i + o)), bias }),
    kaiming: ({ gain, activation, bias }) => ({
      weight: (i) => (gain ?? GAIN[activation] ?? 1) / sqrt(i), bias,
    }),
    orthogonal: ({ gain, bias }) => ({ weight: () => gain ?? 1, bias, orthogonal: true }),
    zero: () => ({ weight: () => 0, bias: 0, outputWeight: 0 }),
  };

  // Rows × columns normals become orthonormal columns, or rows where these are fewer: the Q of
  // their QR decomposition with a positive diagonal of R, by modified Gram–Schmidt, twice.
  function orthonormal(normals, rows, columns) {
    const tall = rows >= columns;
    const [m, n] = tall ? [rows, columns] : [columns, rows];
    const at = (i, j) => (tall ? i * columns + j : j * columns + i);
    const q = Float64Array.from(normals);
    for (let j = 0; j < n; j++) {
      for (let again = 0; again < 2; again++) {
        for (let k = 0; k < j; k++) {
          let along = 0;
          for (let i = 0; i < m; i++) along += q[at(i, k)] * q[at(i, j)];
          for (let i = 0; i < m; i++) q[at(i, j)] -= along * q[at(i, k)];
        }
      }
      let size = 0;
      for (let i = 0; i < m; i++) size += q[at(i, j)] ** 2;
      for (let i = 0; i < m; i++) q[at(i, j)] /= sqrt(size);
    }
    return q;
  }

  // A matrix of the network: rows × columns float32, rows of a whole number of vectors.
  class Matrix {
    constructor(take, rows, columns) {
      Object.assign(this, { rows, columns, stride: wide(columns) });
      this.x = take(wide(rows) * this.stride);
    }
  }

  // The layers of a network and the memory they live in; made anew when its form changes.
  class Net {
    constructor(form, plainly) {
      const { hidden, normalize, activation, batch } = form;
      Object.assign(this, { form, batch, normalize, f: lab.activations[activation] });
      this.isTanh = activation === "tanh";
      this.sizes = [FAN_IN, ...hidden, VOCAB];
      const pairs = hidden.length + 1;
      const floats = this.floats();
      this.memory = lab.memoryOf(4 * floats);
      this.matmul = lab.matmul(this.memory, { single: true, plainly });
      const all = new Float32Array(this.memory.buffer);
      let used = 0;
      const take = (n) => all.subarray(used, (used += n));
      const matrix = (rows, columns) => new Matrix(take, rows, columns);
      const layers = (make) => Array.from({ length: pairs }, (_, l) => make(this.sizes[l], this.sizes[l + 1], l));
      this.C = matrix(VOCAB, N_EMBD);
      this.W = layers((i, o) => matrix(i, o));
      this.b = layers((_, o) => matrix(1, o));
      this.gain = layers((_, o) => matrix(1, o));
      this.parameters = used; // all before here is learned
      this.dC = matrix(VOCAB, N_EMBD);
      this.dW = layers((i, o) => matrix(i, o));
      this.db = layers((_, o) => matrix(1, o));
      this.dgain = layers((_, o) => matrix(1, o));
      this.theta = all.subarray(0, this.parameters);
      this.gradient = all.subarray(this.parameters, 2 * this.parameters);
      const rows = Math.max(batch, CHUNK);
      this.x = Array.from({ length: pairs }, (_, l) => matrix(rows, this.sizes[l]));
      this.z = layers((_, o) => matrix(rows, o));
      this.zHat = layers((_, o) => matrix(rows, o));
      this.dz = layers((_, o) => matrix(batch, o));
      this.dx = Array.from({ length: pairs }, (_, l) => matrix(batch, this.sizes[l]));
      this.inverseStd = layers((_, o) => new Float32Array(o));
      const widest = Math.max(...this.sizes);
      this.packed = take(wide(widest) * wide(Math.max(widest, batch)));
      this.turned = take(wide(widest) * wide(batch));
      for (const gain of this.gain) gain.x.fill(1, 0, gain.columns);
    }

    floats() {
      const { batch } = this.form;
      const rows = Math.max(batch, CHUNK);
      const widest = Math.max(...this.sizes);
      let n = 2 * wide(VOCAB) * wide(N_EMBD);
      for (let l = 0; l + 1 < this.sizes.length; l++) {
        const [i, o] = [wide(this.sizes[l]), wide(this.sizes[l + 1])];
        n += 2 * i * o + 4 * 8 * o + wide(rows) * (i + 2 * o) + wide(batch) * (i + o);
      }
      return n + wide(widest) * wide(Math.max(widest, batch)) + wide(widest) * wide(batch) + 64;
    }

    // c = a·b: b's panels of eight columns first.
    times(a, b, c, rows = a.rows) {
      this.pack(b.x, b.rows, b.columns, b.stride, 1);
      this.product(a.x, a.stride, b.rows, c, rows);
    }

    // c = a·bᵀ.
    timesTransposed(a, b, c, rows = a.rows) {
      this.pack(b.x, b.columns, b.rows, 1, b.stride);
      this.product(a.x, a.stride, b.columns, c, rows);
    }

    // c = aᵀ·b over the first `rows` rows.
    transposedTimes(a, b, c, rows) {
      const { turned } = this;
      const stride = wide(rows);
      for (let i = 0; i < rows; i++) {
        for (let j = 0, at = i * a.stride; j < a.columns; j++, at++) turned[j * stride + i] = a.x[at];
      }
      this.pack(b.x, rows, b.columns, b.stride, 1);
      this.product(turned, stride, rows, c, a.columns);
    }

    product(left, stride, k, c, rows) {
      this.matmul(left.byteOffset, this.packed.byteOffset, c.x.byteOffset, lab.padded(rows), k,
        c.stride, 4 * stride, 4 * c.stride);
    }

    // Entry (i, j) lies at i·down + j·right.
    pack(x, rows, columns, down, right) {
      const { packed } = this;
      let at = 0;
      for (let panel = 0; panel < columns; panel += 8) {
        const n = Math.min(8, columns - panel);
        for (let i = 0; i < rows; i++, at += 8) {
          let from = i * down + panel * right;
          for (let j = 0; j < n; j++, from += right) packed[at + j] = x[from];
          for (let j = n; j < 8; j++) packed[at + j] = 0;
        }
      }
    }

    // The embeddings of `n` contexts: the i-th is row(i) of X.
    embed(X, n, row) {
      const { x, stride } = this.x[0];
      for (let i = 0; i < n; i++) {
        const context = BLOCK * row(i);
        for (let place = 0; place < BLOCK; place++) {
          const token = X[context + place] * this.C.stride;
          const to = i * stride + place * N_EMBD;
          for (let e = 0; e < N_EMBD; e++) x[to + e] = this.C.x[token + e];
        }
      }
    }

    // z, ẑ and h of every layer for the first `n` rows of x[0]; `statistics` replace the batch's.
    forward(n, statistics) {
      const last = this.W.length - 1;
      for (let l = 0; l <= last; l++) {
        this.times(this.x[l], this.W[l], this.z[l], n);
        if (l === last) this.addBias(l, n);
        else this.activate(l, n, statistics?.[l]);
      }
    }

    addBias(l, n) {
      const [z, b] = [this.z[l], this.b[l].x];
      for (let i = 0; i < n; i++) {
        for (let j = 0, at = i * z.stride; j < z.columns; j++, at++) z.x[at] += b[j];
      }
    }

    activate(l, n, statistics) {
      if (this.normalize) this.standardise(l, n, statistics);
      else this.addBias(l, n);
      const [{ x: z, stride, columns }, h] = [this.z[l], this.x[l + 1].x];
      const f = this.isTanh ? tanh : this.f.f;
      for (let i = 0; i < n; i++) {
        for (let j = 0, at = i * stride; j < columns; j++, at++) h[at] = f(z[at]);
      }
    }

    standardise(l, n, statistics) {
      const { x: z, stride, columns } = this.z[l];
      const zHat = this.zHat[l].x;
      const [gain, bias, inverse] = [this.gain[l].x, this.b[l].x, this.inverseStd[l]];
      const { mean, variance } = statistics ?? moments(this.z[l], n);
      for (let j = 0; j < columns; j++) inverse[j] = 1 / sqrt(variance[j] + EPS);
      for (let i = 0; i < n; i++) {
        for (let j = 0, at = i * stride; j < columns; j++, at++) {
          zHat[at] = (z[at] - mean[j]) * inverse[j];
          z[at] = gain[j] * zHat[at] + bias[j];
        }
      }
    }

    // The mean of −log softmax(logits)[y], and (softmax − onehot) / n into the last dz.
    crossEntropy(Y, n, row) {
      const l = this.W.length - 1;
      const [{ x: logits, stride }, d] = [this.z[l], this.dz[l].x];
      let loss = 0;
      for (let i = 0; i < n; i++) {
        const from = i * stride;
        let most = -Infinity;
        for (let j = 0; j < VOCAB; j++) if (logits[from + j] > most) most = logits[from + j];
        let total = 0;
        for (let j = 0; j < VOCAB; j++) total += d[from + j] = exp(logits[from + j] - most);
        for (let j = 0; j < VOCAB; j++) d[from + j] /= total * n;
        const y = from + Y[row(i)];
        d[y] -= 1 / n;
        loss += log(total) + most - logits[y];
      }
      return loss / n;
    }

    backward(X, n, row) {
      for (let l = this.W.length - 1; l >= 0; l--) {
        if (l < this.W.length - 1) this.throughActivation(l, n);
        this.transposedTimes(this.x[l], this.dz[l], this.dW[l], n);
        this.timesTransposed(this.dz[l], this.W[l], this.dx[l], n);
      }
      const [d, { x, stride }] = [this.dC.x.fill(0), this.dx[0]];
      for (let i = 0; i < n; i++) {
        const context = BLOCK * row(i);
        for (let place = 0; place < BLOCK; place++) {
          const token = X[context + place] * this.dC.stride;
          const from = i * stride + place * N_EMBD;
          for (let e = 0; e < N_EMBD; e++) d[token + e] += x[from + e];
        }
      }
    }

    // dz of layer l from dx of the next; with batch norm that before it.
    throughActivation(l, n) {
      const { x: z, stride, columns } = this.z[l];
      const [h, dh, dz] = [this.x[l + 1].x, this.dx[l + 1].x, this.dz[l].x];
      const { slope } = this.f;
      if (this.isTanh) {
        for (let i = 0; i < n; i++) {
          for (let j = 0, at = i * stride; j < columns; j++, at++) {
            dz[at] = dh[at] * fround(1 - fround(h[at] * h[at]));
          }
        }
      } else {
        for (let i = 0; i < n; i++) {
          for (let j = 0, at = i * stride; j < columns; j++, at++) dz[at] = dh[at] * slope(z[at], h[at]);
        }
      }
      this.sumRows(this.db[l], this.dz[l], n);
      if (!this.normalize) return;
      const [zHat, gain, inverse] = [this.zHat[l].x, this.gain[l].x, this.inverseStd[l]];
      const [along, dgain] = [new Float64Array(columns), this.dgain[l].x];
      for (let i = 0; i < n; i++) {
        for (let j = 0, at = i * stride; j < columns; j++, at++) along[j] += dz[at] * zHat[at];
      }
      for (let j = 0; j < columns; j++) dgain[j] = along[j];
      const db = this.db[l].x;
      for (let i = 0; i < n; i++) {
        for (let j = 0, at = i * stride; j < columns; j++, at++) {
          dz[at] = gain[j] * inverse[j] * (dz[at] - db[j] / n - (zHat[at] * along[j]) / n);
        }
      }
    }

    sumRows(into, { x, stride, columns }, n) {
      const sums = new Float64Array(columns);
      for (let i = 0; i < n; i++) {
        for (let j = 0, at = i * stride; j < columns; j++, at++) sums[j] += x[at];
      }
      into.x.set(sums);
    }

    // One step of plain gradient descent; the loss before it.
    step({ X, Y }, row, rate) {
      const n = this.batch;
      this.embed(X, n, row);
      this.forward(n);
      const loss = this.crossEntropy(Y, n, row);
      const last = this.W.length - 1;
      this.sumRows(this.db[last], this.dz[last], n);
      this.backward(X, n, row);
      const { theta, gradient } = this;
      for (let i = 0; i < theta.length; i++) theta[i] -= rate * gradient[i];
      return loss;
    }
  }

  // Mean and variance of each column over the first n rows.
  function moments({ x, stride, columns }, n) {
    const [mean, variance] = [new Float64Array(columns), new Float64Array(columns)];
    for (let i = 0; i < n; i++) {
      for (let j = 0, at = i * stride; j < columns; j++, at++) mean[j] += x[at];
    }
    for (let j = 0; j < columns; j++) mean[j] /= n;
    for (let i = 0; i < n; i++) {
      for (let j = 0, at = i * stride; j < columns; j++, at++) variance[j] += (x[at] - mean[j]) ** 2;
    }
    for (let j = 0; j < columns; j++) variance[j] /= n;
    return { mean, variance };
  }

  // What is learned from: words in the order of their split, and their contexts.
  function examples(words) {
    const n = words.reduce((sum, word) => sum + word.length + 1, 0);
    const [X, Y] = [new Uint8Array(BLOCK * n), new Uint8Array(n)];
    let at = 0;
    for (const word of words) {
      const seen = [0, 0, 0];
      for (let i = 0; i <= word.length; i++) {
        const next = i < word.length ? word.charCodeAt(i) - 96 : 0;
        X.set(seen, BLOCK * at);
        Y[at++] = next;
        seen.shift();
        seen.push(next);
      }
    }
    return { X, Y, n };
  }

  // The words as corpus.split deals them out: four fifths to learn from, a tenth to look at.
  function split(words, seed = 42) {
    const dealt = [...words];
    const twister = lab.Twister.python(seed);
    for (let i = dealt.length - 1; i; i--) {
      const j = twister.below(i + 1);
      [dealt[i], dealt[j]] = [dealt[j], dealt[i]];
    }
    const [cut, end] = [Math.floor(0.8 * dealt.length), Math.floor(0.9 * dealt.length)];
    return { train: examples(dealt.slice(0, cut)), dev: examples(dealt.slice(cut, end)) };
  }

  // Each context once, in the order of corpus.distinct, with how often each letter follows it.
  function distinct({ X, Y, n }) {
    const follows = new Float64Array(VOCAB ** BLOCK * VOCAB);
    const counts = new Float64Array(VOCAB ** BLOCK);
    for (let i = 0; i < n; i++) {
      const key = (X[3 * i] * VOCAB + X[3 * i + 1]) * VOCAB + X[3 * i + 2];
      counts[key]++;
      follows[key * VOCAB + Y[i]]++;
    }
    const keys = [...counts.keys()].filter((key) => counts[key]);
    return {
      n, size: keys.length,
      X: Uint8Array.from(keys.flatMap((k) => [(k / VOCAB ** 2) | 0, ((k / VOCAB) | 0) % VOCAB, k % VOCAB])),
      counts: Float64Array.from(keys, (key) => counts[key]),
      follows: keys.map((key) => follows.slice(key * VOCAB, (key + 1) * VOCAB)),
    };
  }

  // What a table of counts scores on dev: how often each letter followed, one added to each.
  function tableLoss({ train, dev }) {
    const key = ({ X }, i) => (X[3 * i] * VOCAB + X[3 * i + 1]) * VOCAB + X[3 * i + 2];
    const counts = new Float64Array(VOCAB ** (BLOCK + 1)).fill(1);
    const totals = new Float64Array(VOCAB ** BLOCK).fill(VOCAB);
    for (let i = 0; i < train.n; i++) {
      counts[key(train, i) * VOCAB + train.Y[i]]++;
      totals[key(train, i)]++;
    }
    let loss = 0;
    for (let i = 0; i < dev.n; i++) {
      loss -= log(counts[key(dev, i) * VOCAB + dev.Y[i]] / totals[key(dev, i)]);
    }
    return loss / dev.n;
  }

  // What the letters' frequencies alone score on dev, one added to each count.
  function lettersLoss({ train, dev }) {
    const counts = new Float64Array(VOCAB).fill(1);
    for (const y of train.Y) counts[y]++;
    const loss = dev.Y.reduce((sum, y) => sum - log(counts[y] / (train.n + VOCAB)), 0);
    return loss / dev.n;
  }

  const LIVE = 0, MOSTLY = 1, SOFT = 2, HARD = 3; // a unit's state

  class TrainingStopped extends Error {}

  // One run. `settings`: {seed, scheme, scale, bias, gain, activation, depth, units, normalize, rate,
  // schedule: "constant" | "halves", steps, batch}; `data`: {train, dev}, as `examples` makes them.
  class Trainer {
    constructor(data, settings, { plainly = false } = {}) {
      Object.assign(this, { data, settings, plainly, done: 0, rate: settings.rate });
      this.unique = data.unique ??= distinct(data.train);
      this.uniqueDev = data.uniqueDev ??= distinct(data.dev);
      this.twister = new lab.Twister(settings.seed);
      this.draw();
      this.rows = new Uint32Array(settings.batch);
      this.units = this.net.form.hidden.map((n) => Array.from({ length: n }, (_, j) => j));
    }

    // The network at its start: the normals of init.draw, each times the scheme's factor.
    draw() {
      const { units, depth, activation, normalize, batch } = this.settings;
      const hidden = Array(depth).fill(units);
      const net = (this.net = new Net({ hidden, activation, normalize, batch }, this.plainly));
      const scheme = schemes[this.settings.scheme](this.settings);
      const fill = ({ x, rows, columns, stride }, numbers, factor) => {
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < columns; j++) x[i * stride + j] = fround(numbers[i * columns + j]) * factor;
        }
      };
      const normals = lab.draw({ width: units, depth, normalize }, this.twister);
      fill(net.C, normals.C, 1);
      net.W.forEach((W, l) => {
        const hides = l < depth;
        const square = hides && scheme.orthogonal;
        const drawn = square ? orthonormal(normals.W[l], W.rows, W.columns) : normals.W[l];
        fill(W, drawn, fround(hides ? scheme.weight(W.rows, W.columns) : scheme.outputWeight ?? 0.01));
        fill(net.b[l], normals.b[l], fround(hides ? scheme.bias : scheme.outputBias ?? 0));
      });
    }

    rateAt(step) {
      const { schedule, steps } = this.settings;
      return schedule === "halves" && step >= steps / 2 ? this.rate / 10 : this.rate;
    }

    // Up to `n` steps, or as many as there are until `until` (ms); their losses.
    train(n, until = Infinity) {
      const { train } = this.data;
      const losses = [];
      const row = (i) => this.rows[i];
      while (losses.length < n) {
        for (let i = 0; i < this.rows.length; i++) this.rows[i] = this.twister.bits() % train.n;
        const loss = this.net.step(train, row, this.rateAt(this.done));
        if (!Number.isFinite(loss)) {
          throw Object.assign(new TrainingStopped(`The loss at step ${this.done} is ${loss}: the steps ` +
            `are too large for this network. Start again with a learning rate below ${this.rate}.`), { losses });
        }
        losses.push(loss);
        this.done++;
        if (losses.length % 8 === 0 && performance.now() > until) break;
      }
      return losses;
    }

    // Forward through distinct contexts, chunk by chunk: visit(first, n).
    through({ X, size }, statistics, visit) {
      for (let first = 0; first < size; first += CHUNK) {
        const n = Math.min(CHUNK, size - first);
        this.net.embed(X, n, (i) => first + i);
        this.net.forward(n, statistics);
        visit(first, n);
      }
    }

    // Batch norm's mean and variance over the training set, each layer's with those below in place.
    calibrate() {
      const { net, unique } = this;
      if (!net.normalize) return undefined;
      const statistics = [];
      for (let l = 0; l < net.W.length - 1; l++) {
        const columns = net.W[l].columns;
        const [sum, squares] = [new Float64Array(columns), new Float64Array(columns)];
        const { stride } = net.z[l];
        this.through(unique, statistics, (first, n) => {
          net.times(net.x[l], net.W[l], net.z[l], n); // before its own normalisation
          for (let i = 0; i < n; i++) {
            const weight = unique.counts[first + i] / unique.n;
            for (let j = 0, at = i * stride; j < columns; j++, at++) {
              sum[j] += weight * net.z[l].x[at];
              squares[j] += weight * net.z[l].x[at] ** 2;
            }
          }
        });
        statistics[l] = { mean: sum, variance: squares.map((q, j) => Math.max(0, q - sum[j] ** 2)) };
      }
      return statistics;
    }

    // Every hidden layer over the whole training set, as saturation.census counts it, and the mean
    // loss on both splits.
    census() {
      const { net, unique } = this;
      const statistics = this.calibrate();
      const { f } = net;
      const cut = fround(SLOPE_CUT * f.most);
      const layers = net.form.hidden.map((n) => ({
        steepest: new Float32Array(n), flat: new Float64Array(n), saturated: new Float64Array(n),
        mean: new Float64Array(n),
      }));
      const train = this.lossOver(unique, statistics, (first, n) => layers.forEach((layer, l) => {
        const { x: z, stride, columns } = net.z[l];
        const h = net.x[l + 1].x;
        for (let i = 0; i < n; i++) {
          const count = unique.counts[first + i] / unique.n;
          for (let j = 0, at = i * stride; j < columns; j++, at++) {
            const slope = abs(net.isTanh ? fround(1 - fround(h[at] * h[at]))
              : f.slope32(z[at], h[at], f.slope(z[at], h[at])));
            if (slope > layer.steepest[j]) layer.steepest[j] = slope;
            if (slope < cut) layer.flat[j] += count;
            if (abs(h[at]) > CUT) layer.saturated[j] += count;
            layer.mean[j] += count * h[at];
          }
        }
      }));
      for (const layer of layers) {
        layer.state = Uint8Array.from(layer.steepest, (s, j) =>
          s === 0 ? HARD : s < cut ? SOFT : layer.flat[j] > 0.5 ? MOSTLY : LIVE);
      }
      const dev = this.lossOver(this.uniqueDev, statistics);
      return { step: this.done, layers, train, dev, statistics };
    }

    lossOver(unique, statistics, visit = () => {}) {
      const { net } = this;
      const { x: logits, stride } = net.z[net.W.length - 1];
      let total = 0;
      this.through(unique, statistics, (first, n) => {
        for (let i = 0; i < n; i++) {
          const from = i * stride;
          let most = -Infinity;
          for (let j = 0; j < VOCAB; j++) most = Math.max(most, logits[from + j]);
          let sum = 0;
          for (let j = 0; j < VOCAB; j++) sum += exp(logits[from + j] - most);
          const level = log(sum) + most;
          const follows = unique.follows[first + i];
          for (let j = 0; j < VOCAB; j++) if (follows[j]) total += follows[j] * (level - logits[from + j]);
        }
        visit(first, n);
      });
      return total / unique.n;
    }

    // Words drawn from the network, letter by letter, with draws of their own.
    names(n, statistics = this.calibrate(), seed = 1) {
      const { net } = this;
      const twister = new lab.Twister(seed);
      const { x: logits } = net.z[net.W.length - 1];
      return Array.from({ length: n }, () => {
        let word = "";
        const context = Uint8Array.of(0, 0, 0);
        while (word.length < 20) {
          net.embed(context, 1, () => 0);
          net.forward(1, statistics);
          const most = Math.max(...logits.subarray(0, VOCAB));
          const p = Array.from({ length: VOCAB }, (_, j) => exp(logits[j] - most));
          let left = twister.uniform() * p.reduce((x, y) => x + y);
          const next = p.findIndex((one) => (left -= one) < 0);
          if (next <= 0) break;
          word += String.fromCharCode(96 + next);
          context.copyWithin(0, 1);
          context[2] = next;
        }
        return word;
      });
    }

    // Units of a layer that a census found dead: [place in the layer, …].
    dead({ layers }, l, least = SOFT) {
      return [...layers[l].state.keys()].filter((j) => layers[l].state[j] >= least);
    }

    // Hidden weights ×factor, biases ×factor.
    shrink(factor) {
      this.net.W.slice(0, -1).forEach((W, l) => {
        W.x.forEach((w, i) => (W.x[i] = w * factor));
        this.net.b[l].x.forEach((b, i) => (this.net.b[l].x[i] = b * factor));
      });
    }

    // What a unit says on average goes into the next layer's bias, and its outgoing weights to 0.
    fold(l, j, mean) {
      const { x, stride, columns } = this.net.W[l + 1];
      for (let o = 0; o < columns; o++) {
        // Before a normalisation a constant does nothing, and is forgotten.
        if (!this.net.normalize || l + 2 === this.net.W.length) this.net.b[l + 1].x[o] += mean * x[j * stride + o];
        x[j * stride + o] = 0;
      }
    }

    // Dead units begin again: their say in the next bias, no outgoing weights, new incoming ones at
    // the gain of their activation, no bias. How many.
    recycle(census = this.census()) {
      const { net } = this;
      let n = 0;
      census.layers.forEach((layer, l) => {
        const gain = (GAIN[this.settings.activation] ?? 1) / sqrt(net.W[l].rows);
        for (const j of this.dead(census, l)) {
          this.fold(l, j, layer.mean[j]);
          const fresh = this.twister.normals(Math.max(16, net.W[l].rows));
          for (let i = 0; i < net.W[l].rows; i++) net.W[l].x[i * net.W[l].stride + j] = gain * fresh[i];
          net.b[l].x[j] = 0;
          net.gain[l].x[j] = 1;
          n++;
        }
      });
      return n;
    }

    // Dead units are folded into the next bias and cut out; a layer keeps one unit at least. How many.
    remove(census = this.census()) {
      const { net: old } = this;
      const keep = census.layers.map((layer, l) => {
        const gone = new Set(this.dead(census, l));
        if (gone.size === layer.state.length) gone.delete(0);
        for (const j of gone) this.fold(l, j, layer.mean[j]);
        return [...layer.state.keys()].filter((j) => !gone.has(j));
      });
      const n = census.layers.reduce((sum, layer, l) => sum + layer.state.length - keep[l].length, 0);
      if (!n) return 0;
      const every = (count) => Array.from({ length: count }, (_, i) => i);
      const sides = [every(FAN_IN), ...keep, every(VOCAB)];
      this.net = new Net({ ...old.form, hidden: keep.map((one) => one.length) }, this.plainly);
      this.copy(old.C, this.net.C, every(VOCAB), every(N_EMBD));
      old.W.forEach((W, l) => {
        this.copy(W, this.net.W[l], sides[l], sides[l + 1]);
        this.copy(old.b[l], this.net.b[l], [0], sides[l + 1]);
        this.copy(old.gain[l], this.net.gain[l], [0], sides[l + 1]);
      });
      this.units = this.units.map((ids, l) => keep[l].map((j) => ids[j]));
      return n;
    }

    copy(from, to, rows, columns) {
      rows.forEach((i, a) => columns.forEach((j, b) => (to.x[a * to.stride + b] = from.x[i * from.stride + j])));
    }

    // Batch norm from here on, with gains 1 and biases 0, as it starts; or off again.
    switchNorm(on) {
      const { net: old } = this;
      this.net = new Net({ ...old.form, normalize: on ? "batch" : null }, this.plainly);
      this.net.theta.set(old.theta);
      if (on) this.net.b.slice(0, -1).forEach((b) => b.x.fill(0));
    }

    // What the last batch shows: the map of its rows, histograms of z and h, |update| over |data|,
    // and `overExamples`, the std of z over them, as its root mean square over units.
    look() {
      const { net } = this;
      const row = (i) => this.rows[i];
      net.embed(this.data.train.X, net.batch, row);
      net.forward(net.batch);
      const rate = this.rateAt(this.done);
      return net.form.hidden.map((units, l) => {
        const { x: z, stride } = net.z[l];
        const h = net.x[l + 1].x;
        const flat = new Uint8Array(net.batch * units);
        const [ofZ, ofH] = [new Float32Array(net.batch * units), new Float32Array(net.batch * units)];
        for (let i = 0, cell = 0; i < net.batch; i++) {
          for (let j = 0, at = i * stride; j < units; j++, at++, cell++) {
            const slope = net.f.slope32(z[at], h[at], net.f.slope(z[at], h[at]));
            flat[cell] = net.isTanh ? abs(h[at]) > CUT : abs(slope) < SLOPE_CUT * net.f.most;
            ofZ[cell] = z[at];
            ofH[cell] = h[at];
          }
        }
        const { variance } = moments(net.z[l], net.batch);
        const overExamples = sqrt(variance.reduce((sum, one) => sum + one, 0) / units);
        return { units, flat, z: ofZ, h: ofH, overExamples, ratio: (rate * spread(net.dW[l])) / spread(net.W[l]) };
      });
    }
  }

  // The standard deviation of a matrix's entries.
  function spread({ x, rows, columns, stride }) {
    let [sum, squares] = [0, 0];
    for (let i = 0; i < rows; i++) {
      for (let j = 0, at = i * stride; j < columns; j++, at++) {
        sum += x[at];
        squares += x[at] ** 2;
      }
    }
    const n = rows * columns;
    return sqrt(Math.max(0, squares / n - (sum / n) ** 2));
  }

  Object.assign(lab, { Trainer, TrainingStopped, lettersLoss, split, tableLoss });
})();
