// <mlp-init-lab>: how the first weights decide what the layers of the book's network do.
(() => {
  const lab = globalThis.mlpinitLab;
  const BINS = 50;
  const UNBOUNDED = 3.5; // axes reach that many standard deviations of the chosen layer
  const FAN_IN = 30;
  const ENDS = "bars at the ends hold what lies beyond";

  const percent = (share) =>
    share === 0 ? "0%" : share < 0.0005 ? "under 0.1%" : `${(100 * share).toFixed(1)}%`;

  // Three digits: 0.123, 12.3, 1.23e-5.
  function three(x) {
    if (x === 0) return "0";
    const size = Math.abs(x);
    return size >= 1e-3 && size < 1e4 ? String(Number(x.toPrecision(3))) : x.toExponential(2);
  }

  const counted = (n, word) => (n === 0 ? `no ${word}` : `${n} ${word}`);

  // 1, 2 or 5 times a power of ten, at least x.
  function nice(x) {
    const power = 10 ** Math.floor(Math.log10(x));
    return [1, 2, 5, 10].map((m) => m * power).find((one) => one >= x * 0.999999);
  }

  // The standard deviation of a hidden layer's weights, as init.scaled or init.kaiming has it.
  const factor = ({ scale, kind }) => (fanIn) => (kind === "gain" ? scale / Math.sqrt(fanIn) : scale);

  // Where a scale stands among the schemes, for the layers with that fan-in.
  function standing(state) {
    const { width, depth, activation } = state;
    const fanIn = depth > 1 ? width : FAN_IN;
    const one = (gain) => (state.kind === "gain" ? gain : gain / Math.sqrt(fanIn));
    const { gain } = lab.activations[activation];
    const schemes = [
      ["Xavier", one(Math.sqrt((2 * fanIn) / (fanIn + width)))],
      ["LeCun", one(1)],
      ...(gain && gain !== 1 ? [["Kaiming", one(gain)]] : []),
    ].sort((x, y) => x[1] - y[1]);
    const named = ([name, value]) => `${name}’s ${three(value)}`;
    const at = schemes.find(([, value]) => Math.abs(state.scale / value - 1) < 0.013);
    const below = schemes.filter(([, value]) => value < state.scale).at(-1);
    const above = schemes.find(([, value]) => value > state.scale);
    const place = at ? `at ${named(at)}`
      : below && above ? `between ${named(below)} and ${named(above)}`
        : below ? `above ${named(below)}` : `below ${named(above)}`;
    return `${place} (fan-in ${fanIn})`;
  }

  // Shares of `values` in BINS bins from low to high; what lies beyond is in the bins at the ends.
  function histogram(values, width, low, high) {
    const bins = new Float64Array(BINS);
    const stride = lab.padded(width);
    const per = BINS / (high - low);
    for (let from = 0; from < values.length; from += stride) {
      for (let at = from; at < from + width; at++) {
        const bin = Math.floor((values[at] - low) * per);
        bins[bin < 0 ? 0 : bin < BINS ? bin : BINS - 1]++;
      }
    }
    const n = (values.length / stride) * width;
    return bins.map((count) => count / n);
  }

  // Where the axis of a layer's activations runs.
  function range(activation, std) {
    if (activation === "tanh") return [-1, 1];
    if (activation === "sigmoid") return [0, 1];
    const high = nice(UNBOUNDED * std || 1);
    return [activation === "relu" ? 0 : Math.max(-high, -1), high];
  }

  function text(brush, words, x, y, align = "left", color = "faint") {
    brush.context.fillStyle = brush.color(color);
    brush.context.textAlign = align;
    brush.context.fillText(words, x, y);
  }

  function line(brush, points, color, dash = []) {
    const { context } = brush;
    context.strokeStyle = brush.color(color);
    context.setLineDash(dash);
    context.beginPath();
    points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
    context.setLineDash([]);
  }

  // One histogram a layer, the first on top, over one axis; the chosen layer's in full colour.
  function ridges(brush, layers, chosen, [low, high], color) {
    const { context, width, height } = brush;
    const many = layers.length > 1;
    const [left, right, top, bottom] = [many ? 22 : 8, width - 8, many ? 2 : 18, height - 20];
    const room = (bottom - top) / layers.length;
    layers.forEach((shares, l) => {
      const base = top + room * (l + 1);
      const most = Math.max(...shares);
      context.fillStyle = brush.color(color);
      context.globalAlpha = l === chosen ? 1 : 0.45;
      context.beginPath();
      shares.forEach((share, i) => {
        const x = (k) => left + ((right - left) * k) / BINS;
        const tall = (share / most) * (room - 3);
        context.rect(x(i), base - tall, x(i + 1) - x(i) - (many ? 0 : 0.6), tall);
      });
      context.fill();
      context.globalAlpha = 1;
      line(brush, [[left, base], [right, base]], "line");
      if (many) {
        text(brush, String(l + 1), left - 6, base - room / 2, "right", l === chosen ? "ink" : "faint");
      } else {
        text(brush, `tallest bar: ${percent(most)} of the entries`, left, 8);
      }
    });
    const middle = low < 0 && high > -low * 3 ? 0 : (low + high) / 2;
    const place = (value) => left + ((right - left) * (value - low)) / (high - low);
    for (const [value, align] of [[low, "left"], [middle, "center"], [high, "right"]]) {
      if (align !== "center" || place(value) - left > 40) {
        text(brush, three(value).replace("-", "−"), place(value), height - 8, align);
      }
    }
  }

  // Lines over the layers, [{values, color, dash, label}], on a logarithmic axis.
  function overLayers(brush, lines) {
    const { context, width, height } = brush;
    const all = lines.flatMap(({ values }) => values).filter((one) => one > 0);
    if (!all.length) all.push(1);
    const low = Math.floor(Math.log10(Math.min(...all)) - 0.1);
    const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...all)) + 0.1));
    const [left, right, top, bottom] = [44, width - 12, 22, height - 20];
    const n = lines[0].values.length;
    const x = (l) => (n === 1 ? (left + right) / 2 : left + 8 + ((right - left - 16) * l) / (n - 1));
    const y = (value) => bottom - ((bottom - top) * (Math.log10(value) - low)) / (high - low);
    const every = Math.ceil((high - low) / 4);
    for (let power = low; power <= high; power += every) {
      line(brush, [[left, y(10 ** power)], [right, y(10 ** power)]], "line");
      const tick = Math.abs(power) < 3 ? String(Number((10 ** power).toPrecision(1))) : `1e${power}`;
      text(brush, tick.replace("-", "−"), left - 6, y(10 ** power), "right");
    }
    for (let l = 0; l < n; l++) text(brush, String(l + 1), x(l), height - 8, "center");
    let key = left;
    for (const { values, color, hollow, label } of lines) {
      const seen = values.map((value, l) => [x(l), y(value)]).filter((_, l) => values[l] > 0);
      line(brush, seen, color, hollow ? [4, 3] : []);
      const dot = (px, py) => {
        context.beginPath();
        context.arc(px, py, 3.5, 0, 2 * Math.PI);
        context.fillStyle = brush.color(hollow ? "ground" : color);
        context.fill();
        context.stroke();
      };
      seen.forEach(([px, py]) => dot(px, py));
      values.forEach((value, l) => {
        if (!value) text(brush, "0", x(l), bottom - 8, "center", color); // no place on this axis
      });
      dot(key + 4, 9);
      text(brush, label, key + 12, 9, "left", "ink");
      key += 24 + context.measureText(label).width;
    }
  }

  class InitLab extends lab.Lab {
    static title = "the init lab";
    static controls = [
      {
        name: "scale", label: "weight scale", type: "range", value: 1,
        min: -200, max: 48, step: 1, limits: [0.01, 3],
        position: (value) => Math.round(100 * Math.log10(value)),
        at: (position) => Math.min(3, Number((10 ** (position / 100)).toPrecision(3))),
        words: (value, state) => `${value}, ${standing(state)}`,
      },
      {
        name: "kind", label: "the scale is", type: "select", value: "std",
        options: [["std", "the standard deviation of W"], ["gain", "a gain: W has gain / √fan-in"]],
      },
      {
        name: "bias", label: "bias scale", type: "range", min: 0, max: 3, step: 0.01, value: 1,
        words: (value, { norm }) => (norm ? `${value}: no effect` : `${value}`),
      },
      {
        name: "activation", label: "activation", type: "select", value: "tanh",
        options: Object.entries(lab.activations).map(([name, { label }]) => [name, label]),
      },
      {
        name: "width", label: "width", type: "range", min: 16, max: 400, step: 4, value: 200,
        words: (value) => `${value} units a layer`,
      },
      {
        name: "depth", label: "depth", type: "range", min: 1, max: 10, step: 1, value: 1,
        words: (value) => `${value} hidden layer${value > 1 ? "s" : ""}`,
      },
      {
        name: "layer", label: "layer shown", type: "range", min: 1, max: 10, step: 1, value: 1,
        words: (value, { depth }) => `${Math.min(value, depth)} of ${depth}`,
      },
      {
        name: "seed", label: "seed", type: "number", min: 0, max: 4294967295, step: 1,
        value: 2147483647,
      },
      { name: "norm", label: "batch norm", type: "checkbox", value: false },
    ];
    static pictures = [
      {
        name: "map", ratio: 0.18,
        label: "The layer’s saturation map: units across, 32 examples down, white = saturated",
      },
      { name: "z", label: `Pre-activations z by layer; ${ENDS}`, ratio: 0.55 },
      { name: "h", label: `Activations h by layer; ${ENDS}`, ratio: 0.55 },
      { name: "spread", label: "Standard deviation, by layer", ratio: 0.55 },
      { name: "gradient", label: "Size of the gradient ∂ℓ/∂z, by layer", ratio: 0.55 },
    ];

    compute(state) {
      const { seed, width, depth, norm: normalize } = state;
      const form = { seed: Math.floor(seed), width: Math.floor(width), depth: Math.floor(depth), normalize };
      this.network ??= new lab.Network(lab.batch);
      const key = JSON.stringify(form);
      if (this.key !== key) this.network.set(form);
      this.key = key;
      const found = this.network.run({
        activation: state.activation, scale: factor(state), bias: normalize ? 0 : state.bias,
      });
      const total = (name) => found.layers.reduce((sum, layer) => sum + layer[name], 0);
      return {
        ...found,
        network: this.network,
        share: total("saturated") / total("n"),
        soft: total("soft"),
        hard: total("hard"),
        chosen: Math.min(Math.floor(state.layer), form.depth) - 1,
      };
    }

    paint({ layers, network, chosen }, { activation }) {
      const { width } = network.form;
      const reach = nice(UNBOUNDED * layers[chosen].stdZ || 1);
      const sides = range(activation, layers[chosen].stdH);
      const binned = (all, [low, high]) => all.map((one) => histogram(one, width, low, high));
      ridges(this.brush("z"), binned(network.z, [-reach, reach]), chosen, [-reach, reach], "one");
      ridges(this.brush("h"), binned(network.h, sides), chosen, sides, "two");
      const values = (name) => layers.map((layer) => layer[name]);
      overLayers(this.brush("spread"), [
        { values: values("stdZ"), color: "one", label: "z" },
        { values: values("stdH"), color: "two", label: "h", hollow: true },
      ]);
      overLayers(this.brush("gradient"), [
        { values: values("gradient"), color: "ink", label: "root mean square of ∂ℓ/∂z" },
      ]);
      this.paintMap(network.flat[chosen], width);
    }

    // A cell is a pixel of a small picture, which is then drawn large.
    paintMap(flat, width) {
      const { context, width: w, height: h, color } = this.brush("map");
      const rows = flat.length / width;
      this.cells ??= document.createElement("canvas");
      Object.assign(this.cells, { width, height: rows });
      const small = this.cells.getContext("2d");
      const image = small.createImageData(width, rows);
      const pixels = new Uint32Array(image.data.buffer);
      flat.forEach((white, i) => (pixels[i] = white ? 0xffffffff : 0xff000000));
      small.putImageData(image, 0, 0);
      context.imageSmoothingEnabled = false;
      context.drawImage(this.cells, 1, 1, w - 2, h - 2);
      context.strokeStyle = color("faint");
      context.strokeRect(0.5, 0.5, w - 1, h - 1);
    }

    say({ share, soft, hard, loss }, { scale, kind, bias, norm, activation, depth }) {
      const setting = `${kind === "gain" ? "gain" : "scale"} ${scale}`;
      const second = norm ? "batch norm" : `bias scale ${bias}`;
      const among = depth > 1 ? `the activations of ${depth} layers` : "activations";
      const { label } = lab.activations[activation];
      const dead = `${counted(soft, soft === 1 ? "unit is" : "units are")} soft-dead in this batch, ` +
        `${hard || "none"} hard-dead`;
      return `With ${setting}, ${second} and ${label}, ${percent(share)} of ${among} are ` +
        `saturated; ${dead}; the loss starts at ${loss < 1e4 ? loss.toFixed(2) : loss.toExponential(1)}.`;
    }

    rows({ layers }) {
      return [
        ["layer", "std of z", "std of h", "saturated", "soft-dead", "hard-dead", "size of ∂ℓ/∂z"],
        ...layers.map((one, l) => [
          l + 1, three(one.stdZ), three(one.stdH), percent(one.saturated / one.n), one.soft,
          one.hard, three(one.gradient),
        ]),
      ];
    }
  }

  lab.define("mlp-init-lab", InitLab);
  Object.assign(lab, { InitLab, standing, histogram, nice });
})();
