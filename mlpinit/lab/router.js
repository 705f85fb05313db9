// <mlp-router-lab>: a router and its sixteen experts, trained in the page under a balance loss.
(() => {
  const lab = globalThis.mlpinitLab;
  const [INPUTS, OUTPUTS, EXPERTS, EXAMPLES] = [8, 4, 16, 1024];
  const [STEPS, BATCH, RATE, LOOK] = [300, 128, 1, 10];
  const [FINE, LAST] = [9, 19]; // the slider: steps to a factor of 10, and where it ends, at 1
  const { exp, log, max, sqrt, tanh } = Math;

  // A (8, 4) that the task is made from, the router R (8, 16), the experts W (16, 8, 4), the inputs X
  // (1024, 8) and what is asked of them, Y = tanh(X A).
  function begin(twister) {
    const normals = (size, factor) => twister.normals(size).map((x) => x * factor);
    const [A, R, W, X] = [
      normals(INPUTS * OUTPUTS, 1), normals(INPUTS * EXPERTS, 1 / sqrt(INPUTS)),
      normals(EXPERTS * INPUTS * OUTPUTS, 1 / sqrt(INPUTS)), normals(EXAMPLES * INPUTS, 1),
    ];
    const Y = new Float64Array(EXAMPLES * OUTPUTS);
    for (let n = 0; n < EXAMPLES; n++) {
      for (let o = 0; o < OUTPUTS; o++) {
        let z = 0;
        for (let i = 0; i < INPUTS; i++) z += X[n * INPUTS + i] * A[i * OUTPUTS + o];
        Y[n * OUTPUTS + o] = tanh(z);
      }
    }
    return { R, W, X, Y };
  }

  // The softmax of input n's scores, and the expert that has the largest.
  function route({ R, X }, n, scores) {
    let [chosen, sum] = [0, 0];
    for (let e = 0; e < EXPERTS; e++) {
      let z = 0;
      for (let i = 0; i < INPUTS; i++) z += X[n * INPUTS + i] * R[i * EXPERTS + e];
      scores[e] = z;
      if (z > scores[chosen]) chosen = e;
    }
    const most = scores[chosen];
    for (let e = 0; e < EXPERTS; e++) sum += scores[e] = exp(scores[e] - most);
    for (let e = 0; e < EXPERTS; e++) scores[e] /= sum;
    return chosen;
  }

  // What the expert answers to input n, before its score is multiplied in.
  function answer({ W, X }, n, expert, out) {
    out.fill(0);
    for (let i = 0; i < INPUTS; i++) {
      for (let o = 0; o < OUTPUTS; o++) {
        out[o] += X[n * INPUTS + i] * W[(expert * INPUTS + i) * OUTPUTS + o];
      }
    }
  }

  // One step of gradient descent on ½‖score · answer − y‖² + weight · 16 Σ f P.
  function step(net, batch, weight) {
    const { R, W, X, Y } = net;
    const scores = batch.map(() => new Float64Array(EXPERTS));
    const chosen = batch.map((n, b) => route(net, n, scores[b]));
    const load = new Float64Array(EXPERTS);
    for (const e of chosen) load[e] += 1 / BATCH;
    const [dR, dW] = [new Float64Array(R.length), new Float64Array(W.length)];
    const [out, ds] = [new Float64Array(OUTPUTS), new Float64Array(EXPERTS)];
    batch.forEach((n, b) => {
      const [e, s] = [chosen[b], scores[b]];
      answer(net, n, e, out);
      for (let k = 0; k < EXPERTS; k++) ds[k] = (weight * EXPERTS * load[k]) / BATCH;
      for (let o = 0; o < OUTPUTS; o++) {
        const d = (s[e] * out[o] - Y[n * OUTPUTS + o]) / BATCH;
        ds[e] += d * out[o];
        for (let i = 0; i < INPUTS; i++) {
          dW[(e * INPUTS + i) * OUTPUTS + o] += d * s[e] * X[n * INPUTS + i];
        }
      }
      const through = ds.reduce((sum, one, k) => sum + one * s[k], 0);
      for (let k = 0; k < EXPERTS; k++) {
        const dz = s[k] * (ds[k] - through);
        for (let i = 0; i < INPUTS; i++) dR[i * EXPERTS + k] += dz * X[n * INPUTS + i];
      }
    });
    for (const [p, d] of [[R, dR], [W, dW]]) p.forEach((_, k) => (p[k] -= RATE * d[k]));
  }

  // Each expert's share of all inputs, and the loss of the task.
  function look(net) {
    const [shares, scores] = [new Float64Array(EXPERTS), new Float64Array(EXPERTS)];
    const out = new Float64Array(OUTPUTS);
    let loss = 0;
    for (let n = 0; n < EXAMPLES; n++) {
      const e = route(net, n, scores);
      shares[e] += 1 / EXAMPLES;
      answer(net, n, e, out);
      out.forEach((one, o) => (loss += (scores[e] * one - net.Y[n * OUTPUTS + o]) ** 2 / 2));
    }
    const entropy = -shares.reduce((sum, f) => sum + (f ? f * log(f) : 0), 0);
    return {
      shares: [...shares], effective: exp(entropy), loss: loss / EXAMPLES,
      dead: shares.filter((f) => !f).length,
    };
  }

  function train(weight, seed) {
    const twister = new lab.Twister(seed);
    const net = begin(twister);
    const batches = Array.from({ length: STEPS * BATCH }, () => twister.bits() % EXAMPLES);
    const looks = [look(net)];
    for (let t = 0; t < STEPS; t++) {
      step(net, batches.slice(t * BATCH, (t + 1) * BATCH), weight);
      if ((t + 1) % LOOK === 0) looks.push(look(net));
    }
    return looks;
  }

  class RouterLab extends lab.Lab {
    static title = "the router's lab";
    static controls = [
      {
        name: "weight", label: "weight α of the balance loss", type: "range", value: 0,
        min: 0, max: LAST, step: 1, limits: [0, 1],
        at: (place) => (place ? Number((0.01 * 10 ** ((place - 1) / FINE)).toPrecision(2)) : 0),
        position: (weight) => (weight ? max(1, Math.round(1 + FINE * Math.log10(100 * weight))) : 0),
        words: (weight) => String(weight),
      },
      { name: "seed", label: "seed", type: "number", value: 0, min: 0, max: 999, step: 1 },
    ];
    static pictures = [
      {
        name: "shares", ratio: 0.5,
        label: "Share of the inputs that each expert gets, at the end (a ring: none); dashed, an equal share",
      },
      { name: "course", ratio: 0.5, label: "Effective number of experts over the steps" },
    ];

    // Trained once for a state: what is drawn is said, too.
    compute({ weight, seed }) {
      const key = `${weight} ${seed}`;
      if (this.key !== key) [this.key, this.looks] = [key, train(weight, seed)];
      return this.looks;
    }

    draw(looks) {
      return {
        shares: (brush) => this.drawShares(brush, looks.at(-1).shares),
        course: (brush) => this.drawCourse(brush, looks),
      };
    }

    drawShares(brush, shares) {
      const { context, width, height } = brush;
      const [left, right, top, bottom] = [40, width - 8, 12, height - 22];
      const most = max(0.2, lab.nice(max(...shares)));
      const y = (share) => bottom - ((bottom - top) * share) / most;
      for (const share of [0, most / 2, most]) {
        lab.line(brush, [[left, y(share)], [right, y(share)]], "line");
        lab.text(brush, `${Math.round(100 * share)}%`, left - 6, y(share), "right");
      }
      const room = (right - left) / EXPERTS;
      shares.forEach((share, e) => {
        context.fillStyle = brush.color("one");
        context.fillRect(left + room * (e + 0.15), y(share), room * 0.7, bottom - y(share));
        if (!share) lab.dot(brush, left + room * (e + 0.5), bottom - 6, "two", true);
        lab.text(brush, String(e + 1), left + room * (e + 0.5), height - 8, "center");
      });
      lab.line(brush, [[left, y(1 / EXPERTS)], [right, y(1 / EXPERTS)]], "ink", [4, 3]);
    }

    drawCourse(brush, looks) {
      const { width, height } = brush;
      const [left, right, top, bottom] = [28, width - 14, 12, height - 22];
      const x = (k) => left + ((right - left) * k) / (looks.length - 1);
      const y = (number) => bottom - ((bottom - top) * number) / EXPERTS;
      for (const number of [0, 4, 8, 12, 16]) {
        lab.line(brush, [[left, y(number)], [right, y(number)]], "line");
        lab.text(brush, String(number), left - 6, y(number), "right");
      }
      for (const k of [0, 10, 20, 30]) lab.text(brush, String(k * LOOK), x(k), height - 8, "center");
      brush.context.lineWidth = 2;
      lab.line(brush, looks.map(({ effective }, k) => [x(k), y(effective)]), "one");
      brush.context.lineWidth = 1;
    }

    say(looks, { weight }) {
      const { dead, effective, loss } = looks.at(-1);
      const idle = !dead ? "all 16 experts get some of the inputs"
        : `${dead} of 16 experts ${dead === 1 ? "gets" : "get"} no input`;
      return `With a weight of ${weight}, after ${STEPS} steps ${idle}, the effective number is ` +
        `${effective.toFixed(1)}, and the loss of the task is ${lab.three(loss)}.`;
    }

    rows(looks) {
      return [
        ["step", "dead experts", "effective number", "loss of the task"],
        ...looks.map(({ dead, effective, loss }, k) =>
          [k * LOOK, dead, effective.toFixed(1), lab.three(loss)]),
      ];
    }
  }

  lab.define("mlp-router-lab", RouterLab);
  Object.assign(lab, { RouterLab });
})();
