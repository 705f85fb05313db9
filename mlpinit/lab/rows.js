// <mlp-rows-lab>: rows of attention at one scale of their logits, and what gets through their softmax.
(() => {
  const lab = globalThis.mlpinitLab;
  const [ROWS, SEED] = [500, 2147483647];
  const [FINE, ONE, LAST] = [8, 24, 64]; // the slider: steps to a factor of 2, at 1, at 32
  const SATURATED = 0.99; // the largest entry of a row is above it
  const { exp, log, max, sqrt } = Math;
  const normals = {}; // by the number of keys
  const curves = {};

  const drawn = (keys) => (normals[keys] ??= new lab.Twister(SEED).normals(ROWS * keys));

  function softmax(logits) {
    const most = max(...logits);
    const e = Array.from(logits, (one) => exp(one - most));
    const sum = e.reduce((a, b) => a + b);
    return e.map((one) => one / sum);
  }

  // ‖diag(p) − p pᵀ‖, from sums of powers.
  function jacobian(p) {
    let [two, three] = [0, 0];
    for (const one of p) {
      two += one * one;
      three += one ** 3;
    }
    return sqrt(max(0, two - 2 * three + two * two));
  }

  const entropy = (p) => -p.reduce((sum, one) => sum + (one ? one * log(one) : 0), 0);
  const mean = (values) => values.reduce((a, b) => a + b) / values.length;

  function median(values) {
    const sorted = Float64Array.from(values).sort();
    return (sorted[values.length / 2 - 1] + sorted[values.length / 2]) / 2;
  }

  // Of 500 rows whose logits have that standard deviation.
  function look(keys, sd) {
    const z = drawn(keys);
    const rows = Array.from({ length: ROWS }, (_, r) =>
      softmax(z.subarray(r * keys, (r + 1) * keys).map((one) => sd * one)));
    const sizes = rows.map(jacobian);
    return {
      first: rows[0],
      entropy: mean(rows.map(entropy)),
      saturated: mean(rows.map((p) => Number(max(...p) > SATURATED))),
      mean: mean(sizes),
      median: median(sizes),
    };
  }

  const at = (place) => (place ? Number((2 ** ((place - ONE) / FINE)).toPrecision(3)) : 0);
  const position = (sd) => (sd ? max(1, Math.round(ONE + FINE * Math.log2(sd))) : 0);

  const curve = (keys) => (curves[keys] ??=
    Array.from({ length: LAST / 2 + 1 }, (_, k) => look(keys, at(2 * k))));

  class RowsLab extends lab.Lab {
    static title = "the lab of attention's rows";
    static controls = [
      {
        name: "sd", label: "standard deviation of the logits", type: "range", value: 1,
        min: 0, max: LAST, step: 1, limits: [0, 32], at, position, words: (sd) => lab.three(sd),
      },
      {
        name: "keys", label: "keys", type: "select", value: "64",
        options: ["8", "64"].map((one) => [one, one]),
      },
    ];
    static pictures = [
      { name: "row", ratio: 0.5, label: "What the first row gives to each key" },
      {
        name: "through", ratio: 0.5,
        label: "‖J‖ of the softmax against the standard deviation: mean and median of 500 rows",
      },
    ];

    compute({ sd, keys }) {
      return look(Number(keys), sd);
    }

    draw(found, { sd, keys }) {
      return {
        row: (brush) => this.drawRow(brush, found.first),
        through: (brush) => this.drawThrough(brush, found, sd, curve(Number(keys))),
      };
    }

    drawRow(brush, p) {
      const { context, width, height } = brush;
      const [left, right, top, bottom] = [34, width - 8, 12, height - 12];
      for (const part of [0, 0.5, 1]) {
        const y = bottom - (bottom - top) * part;
        lab.line(brush, [[left, y], [right, y]], "line");
        lab.text(brush, String(part), left - 6, y, "right");
      }
      const room = (right - left) / p.length;
      context.fillStyle = brush.color("one");
      p.forEach((one, key) => {
        const tall = max(1, (bottom - top) * one);
        context.fillRect(left + room * (key + 0.1), bottom - tall, room * 0.8, tall);
      });
    }

    drawThrough(brush, found, sd, all) {
      const { width, height } = brush;
      const [left, right, top, bottom] = [38, width - 12, 24, height - 22];
      const x = (place) => left + ((right - left) * place) / LAST;
      const y = (value) => bottom - ((bottom - top) * value) / 0.5;
      for (const value of [0, 0.25, 0.5]) {
        lab.line(brush, [[left, y(value)], [right, y(value)]], "line");
        lab.text(brush, String(value), left - 6, y(value), "right");
      }
      for (const value of [0, 0.5, 1, 2, 4, 8, 16, 32]) {
        lab.text(brush, String(value), x(position(value)), height - 8, "center");
      }
      brush.context.lineWidth = 2;
      const kinds = [["mean", "one"], ["median", "two"]];
      for (const [kind, color] of kinds) {
        lab.line(brush, all.map((one, k) => [x(2 * k), y(one[kind])]), color);
      }
      brush.context.lineWidth = 1;
      for (const [kind, color] of kinds) lab.dot(brush, x(position(sd)), y(found[kind]), color);
      lab.legend(brush, kinds.map(([label, color]) => ({ label, color })), left);
    }

    say({ first, entropy: nats, saturated, mean: average, median: middle }, { sd, keys }) {
      return `With logits of standard deviation ${lab.three(sd)} the first row's largest share is ` +
        `${lab.percent(max(...first))}, the mean entropy is that of ${lab.three(exp(nats))} equal keys ` +
        `of ${keys}, ${lab.percent(saturated)} of the rows are saturated, and ‖J‖ is ` +
        `${lab.three(average)} in the mean and ${lab.three(middle)} in the median.`.replaceAll("-", "−");
    }

    rows({ entropy: nats, saturated, mean: average, median: middle }, { sd }) {
      return [
        ["logits' sd", "mean entropy (nats)", "saturated", "mean ‖J‖", "median ‖J‖"],
        [sd, nats.toFixed(2), lab.percent(saturated), lab.three(average), lab.three(middle)],
      ];
    }
  }

  lab.define("mlp-rows-lab", RowsLab);
  Object.assign(lab, { RowsLab });
})();
