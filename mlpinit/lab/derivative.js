// <mlp-derivative-lab>: a point on tanh, its slope, and what is left of that slope in floats.
(() => {
  const lab = globalThis.mlpinitLab;
  const { abs, exp, floor, fround, log2, tanh } = Math;
  const LINEAR = 100; // slider steps to ±4; as many again, by equal factors, to ±400
  const FURTHEST = 20; // to the right of the picture of slopes
  const LEAST = 1e-18; // at its bottom

  // x as a half-precision float, ties to even; beyond the largest, 65504, infinite.
  function half(x) {
    if (!x || !Number.isFinite(x)) return x;
    const unit = 2 ** (Math.max(floor(log2(abs(x))), -14) - 10);
    const low = floor(x / unit);
    const rest = x / unit - low;
    const up = rest > 0.5 || (rest === 0.5 && low % 2 !== 0);
    const rounded = (low + (up ? 1 : 0)) * unit;
    return abs(rounded) > 65504 ? Infinity * rounded : rounded;
  }

  const FORMATS = { float64: (x) => x, float32: fround, float16: half };
  const DIGITS = { float64: 17, float32: 9, float16: 5 }; // enough to tell any two apart
  // From the shortest line to the longest, so that each shows beside the next.
  const LINES = [["float16", "two", 5], ["float32", "one", 3], ["float64", "ink", 1]];

  const slopeAt = (z) => {
    const e = exp(-2 * abs(z));
    return (4 * e) / (1 + e) ** 2; // without a difference of nearly equal numbers
  };

  // Each formula for h, every operation rounded to the format.
  const FORMULAS = {
    tanh: (z, round) => round(tanh(z)),
    naive: (z, round) => {
      const e = round(exp(round(2 * z)));
      return round(round(e - 1) / round(e + 1));
    },
  };

  function inFormat(format, formula, z) {
    const round = FORMATS[format];
    const h = FORMULAS[formula](round(z), round);
    return { h, slope: round(1 - round(h * h)) };
  }

  const at = (position) => {
    const far = abs(position) - LINEAR;
    const size = far <= 0 ? abs(position) / 25 : 4 * 100 ** (far / LINEAR);
    return Math.sign(position) * Number(size.toPrecision(3));
  };

  const position = (z) => {
    const size = abs(z);
    const steps = size <= 4 ? 25 * size : LINEAR * (1 + Math.log10(size / 4) / 2);
    return Math.sign(z) * Math.round(steps);
  };

  const minus = (words) => words.replaceAll("-", "−");
  const number = (x) => (Number.isNaN(x) ? "not a number" : minus(lab.three(x)));
  const digits = (h, format) =>
    Number.isNaN(h) ? "not a number" : minus(String(Number(h.toPrecision(DIGITS[format]))));

  class DerivativeLab extends lab.Lab {
    static title = "the derivative lab";
    static controls = [
      {
        name: "z", label: "pre-activation z", type: "range", value: 1,
        min: -2 * LINEAR, max: 2 * LINEAR, step: 1, limits: [-400, 400], at, position,
        words: (value) => minus(String(value)),
      },
      {
        name: "format", label: "numbers", type: "select", value: "float32",
        options: Object.keys(FORMATS).map((name) => [name, name]),
      },
      {
        name: "formula", label: "h is computed as", type: "select", value: "tanh",
        options: [["tanh", "tanh(z)"], ["naive", "(exp(2z) − 1) / (exp(2z) + 1)"]],
      },
    ];
    static pictures = [
      { name: "curve", ratio: 0.55, label: "tanh, the point, and its tangent; drag the point" },
      {
        name: "slopes", ratio: 0.55,
        label: "The slope against |z|: exact (dashed), and 1 − h² in each format for as long as it is a number above 0",
      },
    ];

    build() {
      super.build();
      const canvas = this.canvases.curve;
      const follow = (event) => {
        if (!event.buttons) return;
        const box = canvas.getBoundingClientRect();
        const z = (2 * (event.clientX - box.left)) / box.width - 1;
        const reach = this.dragged ?? (this.dragged = this.reach(this.state.z));
        this.move({ z: at(position(Math.max(-400, Math.min(400, z * reach)))) });
      };
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        follow(event);
      });
      canvas.addEventListener("pointermove", follow);
      for (const end of ["pointerup", "pointercancel"]) {
        canvas.addEventListener(end, () => {
          this.dragged = undefined;
          this.changed();
        });
      }
    }

    // How far the picture goes; while the point is dragged it stays as it was.
    reach(z) {
      return this.dragged ?? Math.max(5, lab.nice(abs(z) * 1.1));
    }

    compute({ z, formula }) {
      const all = Object.keys(FORMATS).map((format) => {
        const found = inFormat(format, formula, z);
        return { format, ...found, error: abs(found.slope / slopeAt(z) - 1) };
      });
      return { exact: slopeAt(z), all };
    }

    draw({ all }, state) {
      const one = all.find(({ format }) => format === state.format);
      return {
        curve: (brush) => this.drawCurve(brush, one, state.z),
        slopes: (brush) => this.drawSlopes(brush, state),
      };
    }

    drawCurve(brush, { h, slope }, z) {
      const { context, width, height, color } = brush;
      const reach = this.reach(z);
      const x = (value) => (width * (value / reach + 1)) / 2;
      const y = (value) => height / 2 - (value * height) / 2.8;
      lab.line(brush, [[0, y(0)], [width, y(0)]], "line");
      lab.line(brush, [[x(0), 0], [x(0), height]], "line");
      const points = Array.from({ length: 201 }, (_, i) => (i / 100 - 1) * reach);
      context.lineWidth = 2;
      lab.line(brush, points.map((value) => [x(value), y(tanh(value))]), "one");
      if (Number.isNaN(h)) {
        lab.text(brush, "not a number: no point, no slope", width / 2, height - 30, "center", "two");
      } else {
        lab.line(brush, [-reach, reach].map((end) => [x(end), y(h + slope * (end - z))]), "two");
        context.beginPath();
        context.arc(x(z), y(h), 6, 0, 2 * Math.PI);
        context.fillStyle = color("two");
        context.fill();
      }
      context.lineWidth = 1;
      for (const [value, align] of [[-reach, "left"], [reach, "right"]]) {
        lab.text(brush, minus(String(value)), value < 0 ? 4 : width - 4, y(0) + 10, align);
      }
      lab.text(brush, "1", x(0) - 6, y(1), "right");
      lab.text(brush, "−1", x(0) + 6, y(-1));
    }

    drawSlopes(brush, { z, formula }) {
      const { width, height } = brush;
      const [left, right, top, bottom] = [52, width - 10, 20, height - 20];
      const x = (value) => left + ((right - left) * Math.min(value, FURTHEST)) / FURTHEST;
      const y = (value) => top + ((bottom - top) * Math.log10(value)) / Math.log10(LEAST);
      for (const power of [0, -6, -12, -18]) {
        lab.line(brush, [[left, y(10 ** power)], [right, y(10 ** power)]], "line");
        const words = power ? minus(`1e${power}`) : "1";
        lab.text(brush, words, left - 6, y(10 ** power), "right");
      }
      for (const value of [0, 5, 10, 15, 20]) {
        lab.text(brush, String(value), x(value), height - 8, "center");
      }
      const all = Array.from({ length: 401 }, (_, i) => (i * FURTHEST) / 400);
      lab.line(brush, all.map((value) => [x(value), y(slopeAt(value))]), "faint", [4, 3]);
      for (const [format, color, thick] of LINES) {
        const seen = all.map((value) => [value, inFormat(format, formula, value).slope]);
        const end = seen.findIndex(([, slope]) => !(slope > 0));
        const points = seen.slice(0, end < 0 ? seen.length : end).filter(([, s]) => s >= LEAST);
        brush.context.lineWidth = thick;
        lab.line(brush, points.map(([value, slope]) => [x(value), y(slope)]), color);
        brush.context.lineWidth = 1;
        const [value, slope] = points.at(-1);
        const right = value > FURTHEST * 0.6;
        const words = `${format}: to ${value.toFixed(1)}`;
        lab.text(brush, words, x(value) + (right ? 0 : 8), y(slope) - 12, right ? "right" : "left", color);
      }
      lab.line(brush, [[x(abs(z)), top], [x(abs(z)), bottom]], "two", [2, 3]);
      if (abs(z) > FURTHEST) lab.text(brush, "further on →", right - 4, bottom - 10, "right", "two");
    }

    say({ exact, all }, { z, format, formula }) {
      const { h, slope } = all.find((one) => one.format === format);
      const begin = `At z = ${minus(String(z))} the slope of tanh is ${number(exact)}`;
      if (!this.says("slopes")) return `${begin}.`;
      if (Number.isNaN(h)) {
        return `${begin}; in ${format} the formula is infinity over infinity, not a number.`;
      }
      const left = slope === 0 ? "exactly 0" : number(slope);
      const what = formula === "naive" ? ", with the other formula," : "";
      return `${begin}; in ${format}${what} h is ${digits(h, format)} and 1 − h² is ${left}.`;
    }

    rows({ exact, all }) {
      return [
        ["format", "h", "1 − h²", "exact slope", "relative error"],
        ...all.map(({ format, h, slope, error }) => [
          format, digits(h, format), number(slope), number(exact),
          Number.isNaN(error) ? "none" : lab.percent(Math.min(error, 9.999)),
        ]),
      ];
    }
  }

  lab.define("mlp-derivative-lab", DerivativeLab);
  Object.assign(lab, { DerivativeLab, half, inFormat, slopeAt });
})();
