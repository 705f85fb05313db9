// <mlp-init-lab>: how the first weights decide what the layers of the book's network do.
(() => {
  const lab = globalThis.mlpinitLab;
  const { BINS, map, nice, overLayers, percent, ridges, three } = lab;
  const UNBOUNDED = 3.5; // axes reach that many standard deviations of the chosen layer
  const FAN_IN = 30;
  const ENDS = "bars at the ends hold what lies beyond";

  const listed = (all) => [all.slice(0, -1).join(", "), ...all.slice(-1)].filter(Boolean).join(" and ");
  const counted = (n, word) => (n === 0 ? `no ${word}` : `${n} ${word}`);

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

  class InitLab extends lab.Lab {
    static title = "the init lab";
    static controls = [
      {
        name: "scale", label: "weight scale", type: "range", value: 1,
        min: -200, max: 48, step: 1, limits: [0.01, 3],
        position: (value) => Math.round(100 * Math.log10(value)),
        at: (position) => Math.min(3, Number((10 ** (position / 100)).toPrecision(3))),
        words: (value, state, { narrowed }) => narrowed ? `${value}` : `${value}, ${standing(state)}`,
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
        name: "width", label: "units per layer", type: "range", min: 16, max: 400, step: 4, value: 200,
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
      { name: "std", label: "Standard deviation, by layer", ratio: 0.55 },
      { name: "gradient", label: "Size of the gradient ∂ℓ/∂z, by layer", ratio: 0.55 },
    ];

    static facts = ["schemes", "saturated", "dead", "loss"];

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

    draw({ layers, network, chosen }, { activation }) {
      const { width } = network.form;
      const reach = nice(UNBOUNDED * layers[chosen].stdZ || 1);
      const sides = range(activation, layers[chosen].stdH);
      const binned = (all, [low, high]) => all.map((one) => histogram(one, width, low, high));
      const values = (name) => layers.map((layer) => layer[name]);
      return {
        map: (brush) => map(brush, network.flat[chosen], width),
        z: (brush) => ridges(brush, binned(network.z, [-reach, reach]), chosen, [-reach, reach], "one"),
        h: (brush) => ridges(brush, binned(network.h, sides), chosen, sides, "two"),
        std: (brush) => overLayers(brush, [
          { values: values("stdZ"), color: "one", label: "z" },
          { values: values("stdH"), color: "two", label: "h", hollow: true },
        ]),
        gradient: (brush) => overLayers(brush, [
          { values: values("gradient"), color: "ink", label: "root mean square of ∂ℓ/∂z" },
        ]),
      };
    }

    say(result, state) {
      const set = this.settings(state);
      const found = this.found(result, state).join("; ");
      return set ? `With ${set}, ${found}.` : `${found[0].toUpperCase()}${found.slice(1)}.`;
    }

    settings({ scale, kind, bias, norm, activation, width, depth }) {
      const { label } = lab.activations[activation];
      const narrow = (name) => this.shown?.controls && this.tells(name);
      return listed([
        this.tells("scale", "kind") && `${kind === "gain" ? "gain" : "scale"} ${scale}`,
        this.tells("bias", "norm") && (norm ? "batch norm" : `bias scale ${bias}`),
        this.tells("activation") && label,
        narrow("width") && `${width} units per layer`,
        narrow("depth") && `${depth} hidden layer${depth > 1 ? "s" : ""}`,
      ].filter(Boolean));
    }

    found({ share, soft, hard, loss, layers, chosen }, state) {
      const { depth } = state;
      const among = depth > 1 ? `the activations of ${depth} layers` : "activations";
      const { stdZ, stdH, gradient } = layers[chosen];
      const at = depth > 1 ? ` in layer ${chosen + 1}` : "";
      const narrow = (...names) => this.shown?.facts && this.says(...names);
      return [
        narrow("schemes") && `the scale is ${standing(state)}`,
        this.says("map", "saturated") && `${percent(share)} of ${among} are saturated`,
        narrow("z", "std") && `the standard deviation of z${at} is ${three(stdZ)}`,
        narrow("h", "std") && `the standard deviation of h${at} is ${three(stdH)}`,
        narrow("gradient") && `the size of ∂ℓ/∂z${at} is ${three(gradient)}`,
        this.says("dead") && `${counted(soft, soft === 1 ? "unit is" : "units are")} soft-dead in ` +
          `this batch, ${hard || "none"} hard-dead`,
        this.says("loss") &&
          `the loss starts at ${loss < 1e4 ? loss.toFixed(2) : loss.toExponential(1)}`,
      ].filter(Boolean);
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
  Object.assign(lab, { InitLab, standing, histogram });
})();
