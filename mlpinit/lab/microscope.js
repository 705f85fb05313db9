// <mlp-microscope runs="quiet scaled" src-base="_static/lab/">: recorded training runs, two side
// by side, step by step. `recording.py` makes the recordings; those that the page does not have
// yet come as classic scripts, `src-base` + name + ".js", once the lab is near the view.
(() => {
  const lab = globalThis.mlpinitLab;
  const { dot, element, legend, line, map, nice, overLayers, percent, ridges, text, three } = lab;
  const PACE = 150; // ms a frame, once a reader asks to play
  const RULE = 1e-3; // the update-to-data ratio that is usually aimed at
  const SIDES = ["left", "right"];
  const COLORS = ["one", "two"];
  const loading = {};

  const thousands = (n) => n.toLocaleString("en");
  const bytes = (base64) => Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));

  // A recording with its maps and histograms as functions of the frame.
  function decode({ white, z, h, ...rest }) {
    const { rows, units, steps } = rest;
    const packed = bytes(white);
    const size = packed.length / steps.length;
    const cell = (start, i) => (packed[start + (i >> 3)] >> (7 - (i & 7))) & 1;
    const flat = (at) => Uint8Array.from({ length: rows * units }, (_, i) => cell(at * size, i));
    const counts = (base64) => {
      const low = bytes(base64);
      const bins = low.length / 2 / steps.length;
      const count = (i) => low[2 * i] + 256 * low[2 * i + 1];
      return (at) => Array.from({ length: bins }, (_, i) => count(at * bins + i));
    };
    return { ...rest, flat, z: counts(z), h: counts(h) };
  }

  // The last frame at or before that step.
  const frameAt = ({ steps }, step) => steps.findLastIndex((one) => one <= step);

  // What a run shows at that step.
  function look(run, step) {
    const { rows, units } = run;
    const at = frameAt(run, step);
    const flat = run.flat(at);
    const inColumn = new Uint16Array(units);
    flat.forEach((white, i) => (inColumn[i % units] += white));
    const share = (counts) => counts.map((count) => count / flat.length);
    const found = { run, flat, step: run.steps[at], z: share(run.z(at)), h: share(run.h(at)) };
    for (const name of ["soft", "hard", "batchLoss", "devLoss", "rate", "gradient", "ratio"]) {
      found[name] = run[name][at];
    }
    found.saturated = inColumn.reduce((sum, one) => sum + one) / flat.length;
    found.columns = inColumn.filter((one) => one === rows).length;
    return found;
  }

  // The scripts of recordings that are not there yet, each asked for once.
  function load(name, base) {
    if (lab.recordings?.[name]) return Promise.resolve();
    const src = `${base}${name}.js`;
    return (loading[src] ??= new Promise((done, fail) => {
      const missing = () => fail(new Error(`its recording ${src} could not be loaded`));
      const script = element("script", { src });
      script.onerror = missing;
      script.onload = () => (lab.recordings?.[name] ? done() : missing());
      document.head.append(script);
    }));
  }

  // Losses over log(step + 1): dev drawn through, batches dashed, a mark at the step.
  function curves(brush, found, labels) {
    const [left, right, top, bottom] = [34, brush.width - 12, 22, brush.height - 20];
    const runs = found.map(({ run }) => run);
    const all = runs.flatMap(({ batchLoss, devLoss }) => [...batchLoss, ...devLoss]);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const end = Math.max(...runs.map(({ steps }) => steps.at(-1)));
    const x = (step) => left + ((right - left) * Math.log(step + 1)) / Math.log(end + 1);
    const y = (loss) => bottom - ((bottom - top) * (loss - low)) / (high - low || 1);
    const every = nice((high - low || 1) / 5);
    for (let k = Math.ceil(low / every); k * every <= high; k++) {
      line(brush, [[left, y(k * every)], [right, y(k * every)]], "line");
      text(brush, three(k * every), left - 6, y(k * every), "right");
    }
    text(brush, "0", left, brush.height - 8, "center");
    for (let step = 1; step <= end; step *= 10) {
      text(brush, thousands(step), x(step), brush.height - 8, "center");
    }
    const shown = Math.max(...found.map(({ step }) => step));
    line(brush, [[x(shown), top], [x(shown), bottom]], "ink");
    found.forEach(({ run, step, devLoss }, k) => {
      const curve = (losses) => losses.map((loss, i) => [x(run.steps[i]), y(loss)]);
      line(brush, curve(run.batchLoss), COLORS[k], [2, 3]);
      line(brush, curve(run.devLoss), COLORS[k]);
      dot(brush, x(step), y(devLoss), COLORS[k]);
    });
    legend(brush, labels, left);
  }

  class Microscope extends lab.Lab {
    static title = "the training microscope";
    static pictures = [
      ...[["map", 0.2], ["h", 0.4], ["z", 0.4]].flatMap(([kind, ratio]) =>
        SIDES.map((side) => ({ name: `${kind}-${side}`, part: kind, label: "", ratio }))),
      { name: "loss", ratio: 0.4, label: "Loss over the steps: dev (line), batches (dashes)" },
      { name: "gradient", ratio: 0.6, label: "Size of the gradient on that batch, by tensor" },
      {
        name: "ratio", ratio: 0.6,
        label: "Update-to-data ratio, by tensor; dashes: 1e−3; no dot: all entries equal",
      },
    ];

    static facts = ["saturated"];

    connectedCallback() {
      if (this.names) return;
      this.names = this.getAttribute("runs").trim().split(/\s+/);
      if (this.names.every((name) => lab.recordings?.[name])) this.begin();
      else this.whenNear(() => this.fetch());
    }

    disconnectedCallback() {
      this.halt();
    }

    // Calls once: near the view, or when the address leads here.
    whenNear(call) {
      const once = new AbortController();
      const now = () => {
        watch.disconnect();
        once.abort();
        call();
      };
      const led = () => this.id && location.hash.startsWith(`#${this.id}:`) && now();
      const watch = new IntersectionObserver(([seen]) => seen.isIntersecting && now(), {
        rootMargin: "100%",
      });
      watch.observe(this);
      addEventListener("hashchange", led, { signal: once.signal });
      led();
    }

    fetch() {
      const base = this.getAttribute("src-base") ?? "";
      const coming = this.names.map((name) => load(name, base));
      Promise.all(coming).then(() => this.begin(), ({ message }) => this.append(
        element("p", { class: "lab-sentence", role: "status" },
          `This lab cannot be shown: ${message}. What the text says holds without it.`)));
    }

    begin() {
      this.use(this.names.map((name) => [name, decode(lab.recordings[name])]));
      super.connectedCallback();
    }

    // Controls that suit these runs, [[name, decoded], …].
    use(runs) {
      this.runs = Object.fromEntries(runs);
      const length = ({ steps }) => steps.at(-1);
      const longest = runs.map(([, run]) => run).reduce((x, y) => (length(y) > length(x) ? y : x));
      const { steps } = longest;
      const position = (step) => frameAt(longest, step);
      const options = runs.map(([name, { label }]) => [name, label]);
      this.controls = [
        {
          name: "step", label: "training", type: "range", value: 0, min: 0, max: steps.length - 1,
          step: 1, limits: [0, length(longest)], position, at: (frame) => steps[frame],
          words: (step) => `step ${thousands(steps[position(step)])} of ${thousands(length(longest))}`,
        },
        ...SIDES.map((name, k) => ({
          name, label: name, type: "select", options, value: (options[k] ?? options[0])[0],
        })),
      ];
    }

    build() {
      super.build();
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) return; // the slider jumps
      this.player = element("button", { type: "button" }, "Play");
      this.player.addEventListener("click", () => (this.playing ? this.pause() : this.play()));
      this.desk.firstChild.append(this.player);
    }

    play() {
      const [{ position, at, max }] = this.controls;
      const go = (frame) => {
        this.state = { ...this.state, step: at(frame) };
        this.changed();
      };
      if (position(this.state.step) === max) go(0);
      this.player.textContent = "Stop";
      this.playing = setInterval(() => {
        const next = position(this.state.step) + 1;
        if (next > max) this.pause();
        else go(next);
      }, PACE);
    }

    pause() {
      this.halt();
      this.settle(true);
    }

    halt() {
      clearInterval(this.playing);
      this.playing = 0;
      if (this.player) this.player.textContent = "Play";
    }

    take(...input) {
      this.halt();
      super.take(...input);
    }

    set(state) {
      this.halt();
      super.set(state);
    }

    // One look a side; one alone where both sides are the same run.
    compute({ step, left, right }) {
      return [...new Set([left, right])].map((name) => look(this.runs[name], step));
    }

    draw(found) {
      this.toggleAttribute("alone", found.length === 1);
      const labels = found.map(({ run }, k) => ({ label: run.label, color: COLORS[k] }));
      const names = tensorsOf(found);
      const sizes = (kind, mark) => (brush) => {
        const values = (one) => names.map((name) => of(one, kind, name));
        const lines = found.map((one, k) => ({ ...labels[k], values: values(one) }));
        const within = [mark, ...found.flatMap(({ run }) => run[kind].flat())];
        overLayers(brush, lines, { names, within, mark });
      };
      return Object.assign(
        {
          loss: (brush) => curves(brush, found, labels),
          gradient: sizes("gradient"),
          ratio: sizes("ratio", RULE),
        },
        ...found.map((one, k) => this.drawSide(one, SIDES[k], COLORS[k])),
      );
    }

    drawSide({ run, flat, z, h, columns, soft, hard }, side, color) {
      const { label, rows, units, reachZ, reachH } = run;
      this.caption(`map-${side}`, `${label}: ${units} units across, ${rows} examples down, white = ` +
        `saturated. All-white columns: ${columns}. Dead units over the whole training set: ` +
        `${soft} soft, ${hard} hard`);
      this.caption(`h-${side}`, `${label}: activations h`);
      this.caption(`z-${side}`, `${label}: pre-activations z (the ends hold what lies beyond)`);
      return {
        [`map-${side}`]: (brush) => map(brush, flat, units),
        [`h-${side}`]: (brush) => ridges(brush, [h], 0, [-reachH, reachH], color),
        [`z-${side}`]: (brush) => ridges(brush, [z], 0, [-reachZ, reachZ], color),
      };
    }

    caption(name, words) {
      this.canvases[name].setAttribute("aria-label", words);
      this.canvases[name].nextSibling.textContent = words;
    }

    say(found) {
      const step = Math.max(...found.map((one) => one.step));
      const told = found.map(({ run, saturated, devLoss, step: own }, k) => {
        const who = `${run.label}${own === step ? "" : ` (at its step ${thousands(own)})`}`;
        const [share, loss] = [percent(saturated), devLoss.toFixed(2)];
        const parts = [
          this.says("map", "saturated") && (k ? share : `${share} of its activations saturated`),
          this.says("loss") && (k ? loss : `a dev loss of ${loss}`),
        ].filter(Boolean);
        return parts.length ? `${who} has ${parts.join(" and ")}` : who;
      });
      return `At step ${thousands(step)}: ${told.join("; ")}.`;
    }

    rows(found) {
      const row = (head, cell) => [head, ...found.map(cell)];
      const sizes = (words, kind) => tensorsOf(found).map((name) =>
        row(`${words} of ${name}`, (one) => {
          const size = of(one, kind, name);
          return size === null ? "–" : three(size);
        }));
      return [
        row("", ({ run }) => run.label),
        row("step", ({ step }) => thousands(step)),
        row("learning rate", ({ rate }) => String(rate)),
        row("loss of the batches since the last frame", ({ batchLoss }) => batchLoss.toFixed(4)),
        row("loss on the dev split", ({ devLoss }) => devLoss.toFixed(4)),
        row("saturated, this batch", ({ saturated }) => percent(saturated)),
        row("all-white columns, this batch", ({ columns }) => columns),
        row("soft-dead units, training set", ({ soft }) => soft),
        row("hard-dead units, training set", ({ hard }) => hard),
        ...sizes("gradient", "gradient"),
        ...sizes("update-to-data", "ratio"),
      ];
    }
  }

  const tensorsOf = (found) => [...new Set(found.flatMap(({ run }) => run.tensors))];

  // A tensor's number in a look; null where there is none, or the network does not have the tensor.
  const of = (one, kind, name) => one[kind][one.run.tensors.indexOf(name)] ?? null;

  lab.define("mlp-microscope", Microscope);
  Object.assign(lab, { Microscope, decode, look });
})();
