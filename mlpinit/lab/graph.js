// <mlp-graph-lab>: the backward pass of h = tanh(w₁x + w₂x), one arrow at a time.
(() => {
  const lab = globalThis.mlpinitLab;
  const HALF = { wide: 58, tall: 23 }; // of a box, at most

  // Column and row, from 0 to 1; x stands between the weights, for it is used twice.
  const PLACES = {
    w1: [0, 0], x: [0, 0.5], w2: [0, 1], p: [1 / 3, 0.2], q: [1 / 3, 0.8], z: [2 / 3, 0.5], h: [1, 0.5],
  };
  const WORDS = { w1: "w₁", w2: "w₂", x: "x", p: "w₁x", q: "w₂x", z: "z", h: "h" };
  // Each arrow from a value to what was made from it, with its local slope: in the order in which
  // the backward pass takes them, from the end of the graph, every value after all that it is in.
  const ARROWS = [
    { from: "z", to: "h", slope: ({ h }) => 1 - h * h, words: "1 − h²" },
    { from: "p", to: "z", slope: () => 1, words: "1" },
    { from: "q", to: "z", slope: () => 1, words: "1" },
    { from: "w1", to: "p", slope: ({ x }) => x, words: "x" },
    { from: "x", to: "p", slope: ({ w1 }) => w1, words: "w₁" },
    { from: "w2", to: "q", slope: ({ x }) => x, words: "x" },
    { from: "x", to: "q", slope: ({ w2 }) => w2, words: "w₂" },
  ];

  const number = (x) => lab.three(Object.is(x, -0) ? 0 : x).replaceAll("-", "−");

  function forward({ x, w1, w2 }) {
    const [p, q] = [w1 * x, w2 * x];
    return { x, w1, w2, p, q, z: p + q, h: Math.tanh(p + q) };
  }

  // Values, and the gradients after the first `step` arrows; {} holds none.
  function backward(state, step) {
    const values = forward(state);
    const gradients = step > 0 ? { h: 1 } : {};
    const handed = ARROWS.slice(0, Math.max(0, step - 1)).map((arrow) => {
      const slope = arrow.slope(values);
      const part = gradients[arrow.to] * slope;
      const before = gradients[arrow.from];
      gradients[arrow.from] = (before ?? 0) + part;
      return { ...arrow, slope, part, before };
    });
    return { values, gradients, now: handed.at(-1) };
  }

  const input = (name, value) => ({
    name, label: WORDS[name], type: "range", value, min: -3, max: 3, step: 0.1, words: number,
  });

  class GraphLab extends lab.Lab {
    static title = "the scalar graph";
    static controls = [
      {
        name: "step", label: "step of the backward pass", type: "range", value: 0,
        min: 0, max: ARROWS.length + 1, step: 1,
        words: (value) => `${value} of ${ARROWS.length + 1}`,
      },
      input("x", 1.5),
      input("w1", -0.8),
      input("w2", 0.3),
    ];
    static pictures = [
      {
        name: "graph", ratio: 0.5,
        label: "Each box: a name, its value, and below it the gradient as far as it is known",
      },
    ];

    compute(state) {
      return backward(state, Math.round(state.step));
    }

    draw(found) {
      return { graph: (brush) => this.drawGraph(brush, found) };
    }

    drawGraph(brush, { values, gradients, now }) {
      const { context, width, height, color } = brush;
      const [wide, tall] = [Math.min(HALF.wide, width / 9.5), Math.min(HALF.tall, height / 7)];
      const spot = (name) => {
        const [across, down] = PLACES[name];
        return [wide + 4 + across * (width - 2 * wide - 8), tall + 4 + down * (height - 2 * tall - 8)];
      };
      for (const arrow of ARROWS) {
        const [[x, y], [u, v]] = [spot(arrow.from), spot(arrow.to)];
        const active = now?.from === arrow.from && now?.to === arrow.to;
        context.lineWidth = active ? 3 : 1;
        lab.line(brush, [[x + wide, y], [u - wide, v]], active ? "two" : "faint");
        if (active) this.drawHead(brush, [u - wide, v], [x + wide, y]);
      }
      context.lineWidth = 1;
      for (const [name, value] of Object.entries(values)) {
        const [x, y] = spot(name);
        const known = gradients[name] !== undefined;
        context.fillStyle = color("ground");
        context.strokeStyle = color(now?.from === name ? "two" : known ? "one" : "faint");
        context.lineWidth = now?.from === name ? 2.5 : 1;
        context.beginPath();
        context.rect(x - wide, y - tall, 2 * wide, 2 * tall);
        context.fill();
        context.stroke();
        lab.text(brush, `${WORDS[name]} ${number(value)}`, x, y - tall / 2 + 1, "center", "ink");
        const gradient = known ? `∂ ${number(gradients[name])}` : "∂ …";
        lab.text(brush, gradient, x, y + tall / 2, "center", known ? "two" : "faint");
      }
      context.lineWidth = 1;
    }

    // The head of the arrow that is taken, at `end`: backwards.
    drawHead({ context, color }, start, end) {
      const angle = Math.atan2(end[1] - start[1], end[0] - start[0]);
      context.fillStyle = color("two");
      context.beginPath();
      context.moveTo(...end);
      for (const side of [-0.4, 0.4]) {
        context.lineTo(end[0] - 12 * Math.cos(angle + side), end[1] - 12 * Math.sin(angle + side));
      }
      context.fill();
    }

    say({ values, gradients, now }, { step }) {
      if (step === 0) {
        return `Forward: h = tanh(${number(values.z)}) = ${number(values.h)}; no gradient is known yet.`;
      }
      if (!now) return "The pass begins at the end: the gradient of h with respect to itself is 1.";
      const [from, to] = [WORDS[now.from], WORDS[now.to]];
      const product = `${number(gradients[now.to])} × ${number(now.slope)} = ${number(now.part)}`;
      const adds = now.before === undefined ? "" :
        `, which is added to ${number(now.before)}: ${number(gradients[now.from])} in all`;
      return `${to} hands ${from} its gradient times the local slope ${now.words}: ${product}${adds}.`;
    }

    rows({ values, gradients }) {
      return [
        ["", "value", "gradient of h"],
        ...Object.entries(values).map(([name, value]) => [
          WORDS[name], number(value),
          gradients[name] === undefined ? "not yet known" : number(gradients[name]),
        ]),
      ];
    }
  }

  lab.define("mlp-graph-lab", GraphLab);
  Object.assign(lab, { GraphLab, ARROWS, backward, forward });
})();
