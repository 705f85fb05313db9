// <mlp-stream-lab>: a stream that passes residual branches, and its size after each of them.
(() => {
  const lab = globalThis.mlpinitLab;
  const [WIDTH, ROWS, SEED] = [64, 16, 2147483647];
  const FINE = 8; // steps of the slider to a factor of 2
  const WHOLE = 6 * FINE + 1; // where it stands at a scale of 1; one step is 1/64, none is 0
  const drawn = {}; // by depth
  const { log10, max, sqrt } = Math;

  // What the chapter draws: U and V of each branch, (64, 64), then the inputs, (16, 64).
  function draws(depth) {
    if (!drawn[depth]) {
      const twister = new lab.Twister(SEED);
      const normals = (size, variance) => twister.normals(size).map((x) => x * sqrt(variance));
      const branches = Array.from({ length: depth }, () =>
        [normals(WIDTH ** 2, 2 / WIDTH), normals(WIDTH ** 2, 1 / WIDTH)]);
      drawn[depth] = { branches, x: normals(ROWS * WIDTH, 1) };
    }
    return drawn[depth];
  }

  // row (64) times W (64, 64), added to `sum` by a factor.
  function times(row, W, sum, factor) {
    row.forEach((value, i) => {
      if (value) for (let j = 0; j < WIDTH; j++) sum[j] += factor * value * W[i * WIDTH + j];
    });
  }

  const size = (h) => sqrt(h.reduce((sum, x) => sum + x * x, 0) / h.length);

  // Sizes over that of the input, (depth + 1).
  function sizes(depth, scale) {
    const { branches, x } = draws(depth);
    const h = x.slice();
    return [1, ...branches.map(([U, V]) => {
      for (let r = 0; r < ROWS; r++) {
        const row = h.subarray(r * WIDTH, (r + 1) * WIDTH);
        const inner = new Float64Array(WIDTH);
        times(row, U, inner, 1);
        times(inner.map((z) => max(z, 0)), V, row, scale);
      }
      return size(h) / size(x);
    })];
  }

  const law = (branches, scale) => (1 + scale ** 2) ** (branches / 2);
  const near = (a, b) => Math.abs(a / b - 1) < 1e-3;

  const powerOfTen = (power) => `10${[...String(power)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")}`;

  // 2.5, and 3.1 × 10⁹.
  function large(x) {
    if (x < 1e4) return lab.three(x);
    const [digits, power] = x.toExponential(1).split("e+");
    return `${digits} × ${powerOfTen(power)}`;
  }

  function called(scale, depth) {
    const words = lab.three(scale);
    if (near(scale, 1 / sqrt(depth))) return `${words} = 1/√${depth}`;
    return near(scale, 1 / depth) ? `${words} = 1/${depth}` : words;
  }

  class StreamLab extends lab.Lab {
    static title = "the lab of residual branches";
    static controls = [
      {
        name: "depth", label: "branches", type: "select", value: "64",
        options: ["4", "16", "64"].map((one) => [one, one]),
      },
      {
        name: "scale", label: "scale of each", type: "range", value: 1,
        min: 0, max: WHOLE, step: 1, limits: [0, 1],
        at: (place) => (place ? 2 ** ((place - WHOLE) / FINE) : 0),
        position: (scale) => (scale ? max(1, Math.round(WHOLE + FINE * Math.log2(scale))) : 0),
        words: (scale, { depth }) => called(scale, Number(depth)),
      },
    ];
    static pictures = [{
      name: "stream", ratio: 0.5,
      label: "Size of the stream over that of its input, branch by branch, and what the law says (dashed)",
    }];

    compute({ depth, scale }) {
      const found = sizes(Number(depth), scale);
      return { found, laws: found.map((_, branches) => law(branches, scale)) };
    }

    draw({ found, laws }) {
      return { stream: (brush) => this.drawStream(brush, found, laws) };
    }

    drawStream(brush, found, laws) {
      const { width, height, context } = brush;
      const top = max(1, Math.ceil(log10(max(...found, ...laws)) - 1e-9));
      const [left, right, above, below] = [34, width - 12, 14, height - 34];
      const x = (branches) => left + ((right - left) * branches) / (found.length - 1);
      const y = (value) => below - ((below - above) * log10(value)) / top;
      for (let power = 0; power <= top; power += Math.ceil(top / 4)) {
        lab.line(brush, [[left, y(10 ** power)], [right, y(10 ** power)]], "line");
        lab.text(brush, power ? powerOfTen(power) : "1", left - 6, y(10 ** power), "right");
      }
      for (const part of [0, 0.25, 0.5, 0.75, 1]) {
        const branches = part * (found.length - 1);
        lab.text(brush, String(branches), x(branches), below + 14, "center");
      }
      lab.text(brush, "branches passed", (left + right) / 2, height - 6, "center");
      context.lineWidth = 2;
      const points = (values) => values.map((value, branches) => [x(branches), y(value)]);
      lab.line(brush, points(found), "one");
      lab.line(brush, points(laws), "two", [5, 4]);
      context.lineWidth = 1;
    }

    say({ found, laws }, { depth, scale }) {
      return `${depth} branches at a scale of ${called(scale, Number(depth))}: the stream ends at ` +
        `${large(found.at(-1))} times the size of its input, where the law says ${large(laws.at(-1))}.`;
    }

    rows({ found, laws }) {
      return [
        ["branches passed", "size", "law"],
        ...found.map((one, branches) => [branches, large(one), large(laws[branches])]),
      ];
    }
  }

  lab.define("mlp-stream-lab", StreamLab);
  Object.assign(lab, { StreamLab });
})();
