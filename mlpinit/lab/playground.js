// <mlp-playground>: start the book's network, train it in the page, break it, rescue it.
(() => {
  const lab = globalThis.mlpinitLab;
  const { dot, element, legend, line, map, nice, overLayers, percent, ridges, text, three } = lab;
  const CHANCE = Math.log(27);
  const RULE = 1e-3; // the update-to-data ratio that is usually aimed at
  const SPOKEN = 3000; // ms between two sentences
  const HELD = 0.98; // of a run's losses lie below the top of the axis
  const APART = 9; // pixels between two dots or two marks of a curve
  const DEEP = 6; // layers; deeper networks have at most NARROW units in each
  const NARROW = 64;
  const POINTS = 400; // of a curve
  const KEPT = "mlpinit-words";
  const LEAST = 50; // words
  const FOLDED = "what dead units say goes into the next bias, so that the loss stays; then they are";
  const DEAD = 2; // a unit's state from here on
  const STATES = ["live", "mostly", "soft", "hard"];
  const WORDS = ["live", "mostly saturated", "soft-dead", "hard-dead"];

  const thousands = (n) => n.toLocaleString("en");
  const logarithmic = (low, high) => ({
    type: "range", min: Math.round(100 * Math.log10(low)), max: Math.round(100 * Math.log10(high)),
    step: 1, limits: [low, high],
    position: (value) => Math.round(100 * Math.log10(value)),
    at: (place) => Math.min(high, Math.max(low, Number((10 ** (place / 100)).toPrecision(3)))),
  });

  const SCHEMES = [
    ["scaled", "hidden weights × the scale"], ["as_drawn", "every number as drawn"],
    ["quiet_output", "hidden layers as drawn, quiet output"], ["xavier", "Xavier"],
    ["kaiming", "Kaiming"], ["orthogonal", "orthogonal"], ["zero", "all weights zero"],
  ];

  // The controls that only some starts use.
  const USED = {
    scaled: ["scale", "bias"], xavier: ["bias"], kaiming: ["gain", "bias"], orthogonal: ["gain", "bias"],
  };
  const idle = (name) => ({ scheme }) =>
    ["scale", "bias", "gain"].includes(name) && !USED[scheme]?.includes(name);

  // The state with what is idle as it is in `plain`.
  const effective = (state, plain = PLAIN) =>
    Object.fromEntries(Object.entries(state).map(([name, value]) => [name, idle(name)(state) ? plain[name] : value]));

  // Each opens a chapter's disaster: what is to be set, and what to look for.
  const PRESETS = {
    "": { words: "a good start", set: {} },
    loud: { words: "a first loss of 25", set: { scheme: "as_drawn" } },
    saturated: { words: "a saturated start", set: { scheme: "quiet_output" } },
    small: { words: "too small a start", set: { scale: 0.01, depth: 4, units: 100 } },
    shock: {
      words: "a learning rate that kills ReLUs",
      set: { scheme: "quiet_output", activation: "relu", rate: 0.5 },
    },
    stuck: { words: "tanh units stuck at ±1", set: { bias: 20 } },
    deep: {
      words: "a hundred layers at gain 5/3",
      set: { scheme: "kaiming", depth: 100, units: 32, bias: 0 },
    },
    zero: { words: "zero weights", set: { scheme: "zero" } },
  };

  function settingsOf(state) {
    const { scheme, scale, bias, gain, activation, seed, rate, schedule, norm } = effective(state);
    const depth = Math.floor(state.depth);
    const units = Math.min(Math.floor(state.units), depth > DEEP ? NARROW : Infinity);
    return {
      seed: Math.floor(seed), scheme, scale, bias, gain: gain || undefined, activation, depth, units,
      normalize: norm ? "batch" : null, rate, schedule, steps: Number(state.steps),
      batch: Number(state.batch),
    };
  }

  // The run in torch, up to `steps`; what was `done` on the way is named and not repeated.
  function python(settings, steps, done = [], own = false) {
    const { scheme, scale, bias, gain, activation, depth, units, normalize, rate, batch } = settings;
    const known = ["tanh", "sigmoid", "relu", "leaky_relu"].includes(activation);
    const drawn = {
      scaled: `init.scaled(${scale}, ${bias})`,
      as_drawn: "init.AS_DRAWN",
      quiet_output: "init.QUIET_OUTPUT",
      xavier: `init.xavier(b=${bias})`,
      kaiming: gain || !known ? `init.kaiming(gain=${gain ?? 1}, b=${bias})`
        : `init.kaiming("${activation}", b=${bias})`,
      orthogonal: `init.orthogonal(${gain ?? 1}, b=${bias})`,
      zero: 'init.Scheme("zero", lambda fan_in, fan_out: 0.0, 0.0, output_weight=0.0)',
    }[scheme];
    const hidden = depth === 1 ? `(${units},)` : `(${units},) * ${depth}`;
    const norm = normalize ? `, normalize="${normalize}"` : "";
    const lr = settings.schedule === "halves"
      ? `train.halves(${settings.steps}, ${rate}, ${rate / 10})` : String(rate);
    const size = batch === 32 ? "" : `, batch_size=${batch}`;
    const params = steps ? "run.params" : "start";
    const statistics = normalize ? `, statistics=train.calibrate(${params}, splits.train)` : "";
    return [
      ...(done.length ? [`# up to step ${steps}; what was changed on the way is not repeated here`] : []),
      "# the package: pip install . in the folder of the book",
      "import torch",
      "from mlpinit import corpus, init, mlp, train",
      "",
      own ? 'splits = corpus.split(corpus.load("words.txt"))  # your own, one per line'
        : "splits = corpus.split(corpus.load())",
      `arch = mlp.Architecture(hidden=${hidden}, activation="${activation}"${norm})`,
      `g = torch.Generator().manual_seed(${settings.seed})`,
      `start = init.draw(arch, ${drawn}, generator=g)`,
      ...(steps ? [`run = train.sgd(start, splits.train, steps=${steps}, generator=g, lr=${lr}${size})`] : []),
      `print(train.evaluate(${params}, splits.dev${statistics}))`,
      ...done.map(({ words, step }) => `# in the page, at step ${step}: ${words}`),
      "",
    ].join("\n");
  }

  // Words from a text, one per line; or an Error with its faults.
  function wordsOf(given) {
    const lines = given.split(/\r\n|\r|\n/).map((one) => one.trim().toLowerCase());
    while (lines.length && !lines.at(-1)) lines.pop();
    const faults = [];
    const bad = lines.findIndex((word) => !/^[a-z]+$/.test(word));
    if (bad >= 0) {
      const word = lines[bad];
      const odd = [...word].find((letter) => !/[a-z]/.test(letter));
      faults.push(odd ? `Line ${bad + 1}, “${word.slice(0, 30)}”, has “${odd}”; a word is made of the letters a to z.`
        : `Line ${bad + 1} is empty; write one word per line.`);
    }
    if (lines.length < LEAST) {
      faults.push(`These are ${plural(lines.length, "word")}; it takes ${LEAST} at least, because a tenth of them is kept to look at.`);
    }
    if (faults.length) throw new Error(faults.join(" "));
    return lines;
  }

  // Where reports go and commands come from: a worker, or slices of the page's own time.
  function connect(report) {
    try {
      const boot = `(${lab.engine})();
        const way=new MessageChannel();let next;way.port1.onmessage=()=>next();
        const take=mlpinitLab.serve((r)=>postMessage(r),(f)=>{next=f;way.port2.postMessage(0)});
        onmessage=({data})=>take(data);`;
      const url = URL.createObjectURL(new Blob([boot], { type: "text/javascript" }));
      const worker = new Worker(url);
      worker.onmessage = ({ data }) => report(data);
      worker.onerror = ({ message }) => report({ stopped: message, losses: [], step: 0 });
      return { send: (message) => worker.postMessage(message), end: () => worker.terminate() };
    } catch {
      const take = lab.serve(report, (f) => setTimeout(f));
      return { send: take, end: () => take({ do: "pause" }) };
    }
  }

  // One run as the page knows it: its settings, and all that was reported of it.
  class Run {
    constructor(words, changed) {
      this.changed = changed;
      this.number = 0;
      this.wire = connect((report) => this.hear(report));
      this.send({ do: "words", ...words });
    }

    send(message) {
      this.wire.send(message);
    }

    begin(settings) {
      this.settings = settings;
      Object.assign(this, {
        step: 0, losses: [], every: 1, tail: [], censuses: [], look: undefined, names: [],
        stopped: "", done: [], counts: undefined, running: false, rate: settings.rate,
      });
      this.send({ do: "start", settings, number: ++this.number });
    }

    hear(report) {
      if (report.table) Object.assign(this, { table: report.table, letters: report.letters });
      else if (report.again === this.number || report.again === undefined) this.take(report);
      this.changed();
    }

    take({ step, losses, look, census, names, stopped, done, running, rate }) {
      this.add(losses);
      this.step = step;
      Object.assign(this, { look: look ?? this.look, running: running ?? false, rate: rate ?? this.rate });
      if (census) this.count(census);
      if (names) this.names = names;
      if (stopped) Object.assign(this, { stopped, running: false });
      if (done) this.note({ ...done, words: told(done) });
    }

    // A slider on its way is one change.
    note(done) {
      const before = this.done.at(-1);
      if (done.what === "rate" && before?.what === "rate" && before.step === done.step) this.done.pop();
      this.done.push(done);
    }

    // Means over `every` steps, twice as many of them each time there are too many points.
    add(losses) {
      for (const loss of losses) {
        this.tail.push(loss);
        if (this.tail.length < this.every) continue;
        this.losses.push(this.tail.reduce((x, y) => x + y) / this.every);
        this.tail = [];
        if (this.losses.length < 2 * POINTS) continue;
        this.losses = this.losses.flatMap((one, i, all) => (i % 2 ? [(all[i - 1] + one) / 2] : []));
        this.every *= 2;
      }
    }

    // A look in passing gives way to the next.
    count({ step, units, layers, train, dev, counts, passing }) {
      const states = units.map((ids, l) => new Map(ids.map((id, j) => [id, layers[l].state[j]])));
      const { last } = this;
      if (last?.step === step || last?.passing) this.censuses.pop();
      this.censuses.push({ step, states, train, dev, passing: passing && (last?.step !== step || last.passing) });
      this.counts = counts;
    }

    get last() {
      return this.censuses.at(-1);
    }

    // How many units are dead, and how many there are, by the last census.
    get dead() {
      const all = this.last?.states.flatMap((layer) => [...layer.values()]) ?? [];
      return [all.filter((state) => state >= DEAD).length, all.length];
    }

    get saturated() {
      const flat = this.look?.flatMap((layer) => [...layer.flat]) ?? [];
      return flat.length ? flat.reduce((x, y) => x + y, 0) / flat.length : 0;
    }
  }

  // How the dead came to be as many as they are.
  function sum({ born, deaths, revivals, recycled, removed }) {
    const gone = [[revivals, plural(revivals, "revival")], [recycled, `${recycled} recycled`], [removed, `${removed} removed`]];
    const less = gone.filter(([n]) => n).map(([, words]) => ` − ${words}`).join("");
    if (!deaths && !less) return "";
    return ` (${born} at the start${deaths ? ` + ${plural(deaths, "death")}` : ""}${less})`;
  }

  const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

  const told = ({ what, value, n }) => ({
    rate: `learning rate ${value}`,
    shrink: `hidden weights and biases × ${value}`,
    norm: `batch norm ${value ? "on" : "off"}`,
    recycle: `${plural(n, "dead unit")} recycled`,
    remove: `${plural(n, "dead unit")} removed`,
  })[what];

  // What to beat, which needs no network: [loss on dev, its name, a shorter name].
  const references = ({ letters, table }) => [
    [CHANCE, "chance", "chance"], [letters, "frequencies", "letters"], [table, "count table", "table"],
  ].filter(([loss]) => loss);

  // The greatest loss that the axis holds, for where dev stands and for all but a few of the batches.
  function ceiling(runs) {
    const held = runs.flatMap(({ run: { losses, last } }) => {
      const sorted = Float64Array.from(losses).sort();
      return [losses[0], sorted[Math.floor(HELD * sorted.length)], last?.dev];
    });
    return Math.max(1.5 * CHANCE, ...held.filter(Number.isFinite));
  }

  // The steps along the bottom, from `left` to `right`; the last one ends there.
  function stepAxis(brush, end, left, right, x) {
    const every = nice(end / 5);
    for (let step = 0; step <= end; step += every) {
      const align = step === 0 ? "left" : x(step) > right - 20 ? "right" : "center";
      text(brush, thousands(step), x(step), brush.height - 8, align);
    }
  }

  // Losses on a logarithmic axis over the steps, [{run, color}], with what to beat.
  function curves(brush, runs) {
    const { context, height, width } = brush;
    const marks = references(runs[0].run);
    const names = marks.map(([, long, short]) => (width < 380 ? short : long));
    const room = 8 + Math.max(...names.map((name) => context.measureText(name).width));
    const [left, right, top, bottom] = [40, width - room, 22, height - 20];
    const end = Math.max(20, ...runs.map(({ run }) => run.step));
    const all = [...marks.map(([loss]) => loss), ...runs.flatMap(({ run }) => heights(run))];
    const [low, high] = [Math.min(...all) * 0.97, Math.min(ceiling(runs), Math.max(...all)) * 1.03];
    const x = (step) => left + ((right - left) * step) / end;
    const y = (loss) => bottom - ((bottom - top) * Math.log(loss / low)) / Math.log(high / low);
    const ticks = high > 2 * low ? [2, 3, 5, 10, 20, 30, 50, 100] : [2, 2.2, 2.4, 2.6, 2.8, 3, 3.3, 3.6, 4];
    for (const tick of ticks.filter((one) => one > low && one < high)) {
      line(brush, [[left, y(tick)], [right, y(tick)]], "line");
      text(brush, String(tick), left - 6, y(tick), "right");
    }
    stepAxis(brush, end, left, right, x);
    // The names, from the lowest line up, are apart.
    let above = bottom + 13;
    marks.map(([loss], i) => [y(loss), names[i]]).sort(([a], [b]) => b - a).forEach(([at, name]) => {
      line(brush, [[left, at], [right, at]], "ink", [2, 3]);
      above = Math.min(at, above - 13);
      text(brush, name, right + 5, above, "left", "ink");
    });
    context.save();
    context.beginPath();
    context.rect(0, top - 4, width, bottom - top + 8);
    context.clip();
    runs.forEach(({ run, color }) => {
      line(brush, run.losses.map((loss, i) => [x((i + 0.5) * run.every), y(loss)]), color);
      const seen = run.censuses.filter(({ dev }) => dev <= high).map(({ step, dev }) => [x(step), y(dev)]);
      thinned(seen).forEach(([px, py]) => dot(brush, px, py, color, true));
    });
    context.restore();
    runs.forEach(({ run, color }, i) => offScale(brush, run, color, high, x, [right, top + 16 + 14 * i, top + 6]));
    legend(brush, runs.map(({ color }, i) => ({
      color, label: i ? "pinned run" : "batches; hollow: dev",
    })), left);
  }

  const heights = ({ losses, censuses }) => [...losses, ...censuses.map(({ dev }) => dev)].filter(Number.isFinite);

  // Of points from left to right those that are apart, and the last.
  function thinned(points) {
    let before = Infinity;
    return [...points].reverse().filter(([px]) => before - px >= APART && ((before = px), true));
  }

  // Arrows where a run is off the scale, and how far.
  function offScale(brush, run, color, high, x, [right, base, top]) {
    const off = [
      ...run.losses.map((loss, i) => [x((i + 0.5) * run.every), loss]),
      ...run.censuses.map(({ step, dev }) => [x(step), dev]),
    ].filter(([, loss]) => loss > high).sort(([a], [b]) => a - b);
    if (!off.length) return;
    thinned(off).forEach(([px]) => text(brush, "↑", px, top, "center", color));
    const most = Math.max(...off.map(([, loss]) => loss));
    text(brush, `↑ off the scale, up to ${three(most)}`, right - 3, base, "right", color);
  }

  // A line per unit, over the steps, in the colour of its state; layers one below the other.
  function lifelines(brush, run) {
    const { context, color } = brush;
    const lines = legend(brush, STATES.map((state, i) => ({ color: state, label: WORDS[i] })), brush.width < 380 ? 8 : 40);
    const [left, right, top, bottom] = [40, brush.width - 12, 7 + 15 * lines, brush.height - 20];
    const first = run.censuses[0];
    if (!first) return;
    const end = Math.max(20, run.step);
    const x = (step) => left + ((right - left) * step) / end;
    const gap = 3;
    const sizes = first.states.map((layer) => layer.size);
    const room = (bottom - top - gap * (sizes.length - 1)) / sizes.reduce((a, b) => a + b);
    let base = top;
    sizes.forEach((size, l) => {
      run.censuses.forEach(({ step, states }, i) => {
        const [from, to] = [x(step), Math.max(x(run.censuses[i + 1]?.step ?? run.step), x(step) + 1)];
        states[l].forEach((state, id) => {
          context.fillStyle = color(STATES[state]);
          context.fillRect(from, base + id * room, to - from + 0.5, Math.max(room - (room > 2 ? 0.4 : 0), 0.3));
        });
      });
      if (sizes.length <= DEEP) text(brush, String(l + 1), left - 6, base + (size * room) / 2, "right");
      base += size * room + gap;
    });
    for (const { step } of run.done) line(brush, [[x(step), top], [x(step), bottom]], "ink", [3, 2]);
    stepAxis(brush, end, left, right, x);
  }

  // Shares of a layer's values in the bins of a histogram from −side to side, ends included.
  function binned(values, [low, high]) {
    const bins = new Float64Array(lab.BINS);
    const per = lab.BINS / (high - low);
    for (const value of values) {
      const bin = Math.floor((value - low) * per);
      bins[bin < 0 ? 0 : bin < lab.BINS ? bin : lab.BINS - 1] += 1 / values.length;
    }
    return bins;
  }

  class Playground extends lab.Lab {
    static title = "the playground";
    static controls = [
      { name: "scheme", label: "start", type: "select", value: "scaled", options: SCHEMES },
      {
        name: "scale", label: "weight scale", value: 0.2, ...logarithmic(0.001, 3),
        words: (value, { scheme }) => (scheme === "scaled" ? `× ${value}` : "set by the start"),
        idle: idle("scale"),
      },
      { name: "rate", label: "learning rate", value: 0.1, ...logarithmic(0.001, 30) },
      {
        name: "activation", label: "activation", type: "select", value: "tanh",
        options: Object.entries(lab.activations).map(([name, { label }]) => [name, label]),
      },
      {
        name: "depth", label: "hidden layers", type: "number", min: 1, max: 100, step: 1, value: 1,
      },
      {
        name: "units", label: "units per layer", type: "range", min: 16, max: 400, step: 4, value: 200,
        words: (value, { depth }) => String(depth > DEEP ? Math.min(value, NARROW) : value),
      },
      { name: "norm", label: "batch norm from the start", type: "checkbox", value: false },
      { name: "bias", label: "bias scale", type: "number", min: 0, max: 100, step: 0.01, value: 0.01, idle: idle("bias") },
      {
        name: "gain", label: "gain (0: the usual one)", type: "number", min: 0, max: 10, step: 0.001,
        value: 0, idle: idle("gain"),
      },
      {
        name: "schedule", label: "learning-rate schedule", type: "select", value: "constant",
        options: [["constant", "the same throughout"], ["halves", "a tenth in the second half"]],
      },
      {
        name: "steps", label: "steps", type: "select", value: "2000",
        options: ["200", "2000", "20000", "200000"].map((n) => [n, thousands(Number(n))]),
      },
      {
        name: "batch", label: "examples per batch", type: "select", value: "32",
        options: ["8", "16", "32", "64", "128"].map((n) => [n, n]),
      },
      {
        name: "seed", label: "seed", type: "number", min: 0, max: 4294967295, step: 1,
        value: 2147483647,
      },
    ];
    static pictures = [
      { name: "loss", label: "Loss in nats over the steps, on a logarithmic axis. Dotted, on dev: chance, the letters’ frequencies, a table of counts", ratio: 0.5 },
      { name: "lives", label: "Lifelines: one line per unit, counted over all contexts. Saturated: slope under a fiftieth of the steepest. Mostly: on over half of them; soft-dead: on all; hard-dead: slope 0 on all", ratio: 0.5 },
      { name: "pinned", part: "lives", label: "Lifelines of the pinned run", ratio: 0.5 },
      { name: "map", label: "Saturation map of the last batch, first layer: white = saturated", ratio: 0.2 },
      { name: "z", label: "Pre-activations z by layer", ratio: 0.5 },
      { name: "h", label: "Activations h by layer", ratio: 0.5 },
      {
        name: "ratio", label: "Update-to-data ratio of the weights, by layer. Dashes: 1e−3, usually aimed at; far below, a layer hardly learns", ratio: 0.5,
      },
    ];

    // A link to settings opens them anew, also where they are those of this run.
    fromAddress() {
      const { key } = this;
      super.fromAddress();
      if (this.named(location.hash) && this.key === key) this.key = undefined;
    }

    named(hash) {
      return hash.startsWith(`#${this.id}:`);
    }

    // The address that is there already is opened once more where its link is followed.
    follow({ target }) {
      const href = target.closest?.("a[href]")?.href;
      if (href === location.href && this.named(location.hash)) this.fromAddress();
    }

    narrow(names) {
      super.narrow(names.length ? names : ["scheme", "scale", "rate", "loss", "lives", "map"]);
    }

    connectedCallback() {
      if (this.state || this.waits) return;
      // A run takes the page's processor: nothing of it before the lab is near the view.
      this.waits = true;
      const begin = () => {
        if (!this.waits) return;
        this.waits = false;
        super.connectedCallback();
        document.addEventListener("click", (event) => this.follow(event));
      };
      addEventListener("hashchange", () => this.named(location.hash) && begin());
      if (!globalThis.IntersectionObserver || this.named(location.hash)) begin();
      else {
        const near = new IntersectionObserver((seen) => {
          if (!seen.some(({ isIntersecting }) => isIntersecting)) return;
          near.disconnect();
          begin();
        }, { rootMargin: "50%" });
        near.observe(this);
      }
    }

    disconnectedCallback() {
      for (const run of [this.run, this.pin]) run?.wire.end();
    }

    // The words to learn: the reader's own, where there are some, else the surnames.
    get words() {
      return this.own ? { list: this.own } : { packed: lab.packedWords };
    }

    build() {
      try {
        this.own = wordsOf(localStorage.getItem(KEPT) ?? "");
      } catch {
        this.own = undefined; // none, or a browser that keeps none
      }
      super.build();
      this.run = new Run(this.words, () => this.seen());
      const form = this.desk.querySelector("form");
      form.lastChild.remove(); // its button stands among these
      this.buttons = {};
      const button = (name, words, act, title) => {
        const made = element("button", { type: "button", title }, words);
        made.addEventListener("click", act);
        return (this.buttons[name] = made);
      };
      const group = (label, ...nodes) =>
        element("div", { class: "play-group", role: "group", "aria-label": label },
          element("span", { class: "play-label" }, label), ...nodes);
      const presets = element("select", { id: `${this.id}-preset`, "aria-label": "open" },
        ...Object.entries(PRESETS).map(([key, { words }]) => element("option", { value: key }, words)),
        element("option", { value: "own", disabled: true }, "your own settings"));
      // What is chosen already can be chosen again.
      presets.addEventListener("pointerdown", () => {
        this.choosing = true;
        presets.selectedIndex = -1;
      });
      presets.addEventListener("blur", () => {
        this.choosing = false;
        this.changed();
      });
      presets.addEventListener("input", () => {
        this.choosing = false;
        this.key = undefined;
        this.set({ ...PLAIN, ...PRESETS[presets.value].set });
      });
      this.presets = presets;
      const bar = element("div", { class: "play-bar" },
        group("Train",
          button("train", "Train", () => this.trainTo(this.run.running ? 0 : undefined)),
          button("some", "100 steps", () => this.trainTo(this.run.step + 100)),
          button("again", "Start again", () => this.begin())),
        group("Open", presets),
        group("Rescue",
          button("shrink", "Shrink ×½", () => this.rescue("shrink", 0.5), "hidden weights and biases × 0.5"),
          button("recycle", "Recycle dead", () => this.rescue("recycle"),
            `${FOLDED} drawn anew`),
          button("remove", "Remove dead", () => this.rescue("remove"),
            `${FOLDED} cut out`),
          button("norm", "Batch norm", () => this.rescue("norm", !this.normed),
            "with gains 1 and biases 0")),
        group("Compare", button("pin", "Pin and start again", () => this.toggle())),
        group("Take home",
          button("python", "Copy as Python", () => this.copy(this.python(), "The Python code is copied.")),
          button("share", "Copy link", () => this.share()),
          button("figure", "Save figure", () => this.save())));
      this.names = element("p", { class: "play-names" });
      this.note = element("p", { class: "play-note", role: "note" });
      this.copied = element("p", { class: "play-note" });
      this.code = element("pre", { class: "play-code", tabindex: "0", hidden: true });
      // The verdict stands where the buttons are, above the pictures.
      form.after(bar, this.sentence, this.note, this.names, this.copied, this.code);
      this.numbers.before(this.ownWords());
      this.toggleAttribute("pinned", false);
      for (const node of this.desk.querySelectorAll("button, select, textarea")) {
        node.setAttribute("data-lm-suppress-shortcuts", "true");
      }
    }

    ownWords() {
      const area = element("textarea", { rows: 4, id: `${this.id}-words`, spellcheck: "false" });
      if (this.own) area.value = this.own.join("\n");
      const said = element("p", { class: "play-note", role: "status" });
      const fault = (words) => {
        said.textContent = words && `${words} ${this.own ? "The words in use stay" : "The surnames stay"} in use until the list is right.`;
        said.classList.toggle("play-fault", Boolean(words));
        area.setAttribute("aria-invalid", String(Boolean(words)));
      };
      const use = (list, words) => {
        this.own = list;
        try {
          if (list) localStorage.setItem(KEPT, list.join("\n"));
          else localStorage.removeItem(KEPT);
        } catch { /* a browser that keeps nothing */ }
        fault("");
        said.textContent = words;
        for (const run of [this.run, this.pin]) run?.send({ do: "words", ...this.words });
        this.begin();
      };
      const take = element("button", { type: "button" }, "Use these words");
      take.addEventListener("click", () => {
        try {
          const list = wordsOf(area.value);
          use(list, `${thousands(list.length)} words of your own; they stay on this machine.`);
        } catch (error) {
          fault(error.message);
        }
      });
      const back = element("button", { type: "button" }, "Back to the surnames");
      back.addEventListener("click", () => use(undefined, "The surnames again."));
      area.addEventListener("dragover", (event) => event.preventDefault());
      area.addEventListener("drop", async (event) => {
        const file = event.dataTransfer.files[0];
        if (!file) return;
        event.preventDefault();
        area.value = await file.text();
        take.click();
      });
      return element("details", { class: "lab-more" }, element("summary", {}, "Your own words"),
        element("label", { for: area.id }, `One word per line, at least ${LEAST}, letters a to z; a file can be dropped here.`),
        area, element("div", { class: "play-group" }, take, back), said);
    }

    // The name of the preset that the settings are, however they came about.
    preset() {
      const state = effective(this.state);
      const set = (name) => effective({ ...PLAIN, ...PRESETS[name].set, steps: state.steps });
      const same = (other) => Object.keys(other).every((name) => other[name] === state[name]);
      return Object.keys(PRESETS).find((name) => same(set(name))) ?? "own";
    }

    get normed() {
      return this.run.done.findLast(({ what }) => what === "norm")?.value ?? this.state.norm;
    }

    // A change of the start begins anew; one of the learning rate is followed in the middle of a run.
    compute(state) {
      const settings = settingsOf(state);
      const { rate, steps, ...start } = settings;
      const key = JSON.stringify(start);
      if (key !== this.key || (rate !== this.run.settings?.rate && this.run.step === 0)) {
        this.key = key;
        this.begin(settings);
      } else if (rate !== this.rate) {
        this.run.send({ do: "rate", value: rate });
      }
      this.rate = rate;
      return this.run;
    }

    begin(settings = settingsOf(this.state)) {
      this.run.begin(settings);
      this.pin?.begin(this.pin.settings);
      if (this.code) this.show("", "");
    }

    trainTo(step = Number(this.state.steps)) {
      if (this.run.stopped) this.begin();
      const to = step && step <= this.run.step ? this.run.step + Number(this.state.steps) : step;
      this.meet = !to && Boolean(this.pin);
      for (const run of [this.run, this.pin]) {
        if (run) run.send(to ? { do: "run", to } : { do: "pause" });
      }
    }

    // Runs side by side are paused one after the other: the one behind goes on to where the other is.
    catchUp() {
      const both = [this.run, this.pin];
      if (!this.meet || !this.pin || both.some(({ running, stopped }) => running || stopped)) return;
      this.meet = false;
      const to = Math.max(...both.map(({ step }) => step));
      for (const run of both) if (run.step < to) run.send({ do: "run", to });
    }

    rescue(what, value) {
      this.run.send({ do: "rescue", what, value });
    }

    // Keep this run beside what the reader changes next; both start again from the same draws.
    toggle() {
      this.pin?.wire.end();
      if (this.pin) this.pin = undefined;
      else {
        this.pin = new Run(this.words, () => this.seen());
        this.pin.begin(this.run.settings);
        this.pin.of = { ...this.state };
        this.run.begin(this.run.settings);
      }
      this.toggleAttribute("pinned", Boolean(this.pin));
      this.changed();
    }

    // Something was reported.
    seen() {
      this.catchUp();
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches && this.run.running;
      if (calm && performance.now() - (this.drawn ?? 0) < 1000) return;
      this.drawn = performance.now();
      this.changed();
      const now = performance.now();
      if (now - (this.spoken ?? 0) < SPOKEN && this.run.running) return;
      this.spoken = now;
      this.live.textContent = this.say(this.run);
    }

    draw(run, { activation }) {
      const { look } = run;
      if (!this.choosing) this.presets.value = this.preset();
      const runs = [{ run, color: "one" }, ...(this.pin ? [{ run: this.pin, color: "two" }] : [])];
      this.buttons.train.textContent = run.running ? "Pause" : `Train ${thousands(Number(this.state.steps))} steps`;
      this.buttons.pin.textContent = this.pin ? "Let the pinned run go" : "Pin and start again";
      this.buttons.norm.textContent = this.normed ? "Batch norm off" : "Batch norm on";
      this.note.textContent = run.stopped || this.difference();
      this.names.textContent = run.names.length ? `It writes: ${run.names.map((one) => one || "(nothing)").join(", ")}.` : "";
      if (!look) return {};
      const side = (name) => nice(Math.max(1e-6, ...look.map((layer) => extent(layer[name]))));
      const bounded = { tanh: [-1, 1], sigmoid: [0, 1] }[activation];
      const shown = look.slice(0, DEEP);
      const ranges = { z: [-side("z"), side("z")], h: bounded ?? [-side("h"), side("h")] };
      const histogram = (name, color) => (brush) =>
        ridges(brush, shown.map((layer) => binned(layer[name], ranges[name])), 0, ranges[name], color);
      const some = look.length > DEEP ? [0, 1, 2, 3, 4].map((k) => Math.round((k * (look.length - 1)) / 4))
        : look.map((_, l) => l);
      const ratios = some.map((l) => (Number.isFinite(look[l].ratio) ? look[l].ratio : null));
      return {
        loss: (brush) => curves(brush, runs),
        lives: (brush) => lifelines(brush, run),
        pinned: (brush) => this.pin && lifelines(brush, this.pin),
        map: (brush) => map(brush, look[0].flat, look[0].units),
        z: histogram("z", "one"),
        h: histogram("h", "two"),
        ratio: (brush) => overLayers(brush, [{ values: ratios, color: "one", label: "std of the update over std of W" }],
          {
            mark: RULE, within: [...ratios.filter(Boolean), RULE],
            names: look.length > DEEP ? some.map((l) => String(l + 1)) : undefined,
          }),
      };
    }

    say(run) {
      if (run.stopped) return run.stopped;
      const { last } = run;
      if (!last) return "The network is being drawn.";
      const [dead, units] = run.dead;
      return `Step ${thousands(run.step)}: ${percent(run.saturated)} of the last batch’s activations are ` +
        `saturated; by the count at step ${thousands(last.step)}, the loss on dev is ${last.dev.toFixed(3)} ` +
        `and ${dead || "none"} of ${units} units ${dead === 1 ? "is" : "are"} dead${sum(run.counts)}.`;
    }

    // What the change of settings did, in a sentence.
    difference() {
      const { pin, run } = this;
      if (!pin?.last || !run.last) return "";
      const changed = Object.keys(pin.of).filter((name) => pin.of[name] !== this.state[name] && name !== "steps"
        && !idle(name)(pin.of) && !idle(name)(this.state));
      if (!changed.length) return "Pinned. Change a setting: the two runs share their draws and batches.";
      const words = changed.map((name) => {
        const { label, options } = this.constructor.controls.find((one) => one.name === name);
        const said = (value) => options?.find(([key]) => key === value)?.[1] ?? value;
        return `${label} ${said(this.state[name])} instead of ${said(pin.of[name])}`;
      });
      const by = run.last.dev - pin.last.dev;
      const loss = Math.abs(by) < 5e-4 ? "the same to three decimals" : `${Math.abs(by).toFixed(3)} ${by < 0 ? "lower" : "higher"}`;
      const [dead, before] = [run.dead[0], pin.dead[0]];
      const units = dead !== before ? `${plural(dead, "dead unit")} instead of ${before}`
        : dead ? `as many dead units, ${dead}` : "no dead unit in either";
      return `With ${words.join(", ")}: the loss on dev is ${loss} at step ${thousands(run.last.step)} ` +
        `(pinned: step ${thousands(pin.last.step)}), with ${units}.`;
    }

    rows(run) {
      const { last, look } = run;
      const columns = [
        ["layer", "units", ...WORDS, "std of z over examples", "update / data"],
        ...(last?.states ?? []).map((layer, l) => {
          const states = [...layer.values()];
          return [l + 1, states.length, ...STATES.map((_, i) => states.filter((one) => one === i).length),
            look?.[l] && run.step ? three(look[l].overExamples) : "–",
            look?.[l] && Number.isFinite(look[l].ratio) ? three(look[l].ratio) : "–"];
        }),
      ];
      return columns[0].map((_, row) => columns.map((column) => column[row])); // six layers fit a phone
    }

    python() {
      return python(this.run.settings, this.run.step, this.run.done, Boolean(this.own));
    }

    copy(words, said) {
      this.show(words, "To copy:"); // where a browser does not let a page copy
      const done = () => (this.copied.textContent = this.live.textContent = said);
      navigator.clipboard?.writeText(words).then(done, () => {});
    }

    show(words, said) {
      this.code.textContent = words;
      this.code.hidden = !words;
      this.copied.textContent = said;
    }

    // The start and its settings; what was changed on the way is not in it.
    address() {
      const { state } = this;
      this.state = { ...effective(state, this.defaults()), rate: this.run.step ? this.run.settings.rate : state.rate };
      const found = super.address();
      this.state = state;
      return found;
    }

    share() {
      history.replaceState(null, "", this.address());
      this.copy(location.href, "The link is copied.");
    }

    save() {
      const svg = picture(this.run, getComputedStyle(this));
      const link = element("a", { download: `run-${this.run.step}.svg`,
        href: URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" })) });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }
  }

  const PLAIN = Object.fromEntries(Playground.controls.map(({ name, value }) => [name, value]));
  const extent = (values) => values.reduce((most, one) => Math.max(most, Math.abs(one)), 0);

  // The loss and the lifelines of a run as SVG, for light paper.
  function picture(run, style) {
    const [width, height, left, right] = [640, 420, 50, 620];
    const end = Math.max(1, run.step);
    const x = (step) => (left + ((right - left) * step) / end).toFixed(1);
    const marks = references(run);
    const all = [...marks.map(([loss]) => loss), ...heights(run)];
    const [low, high] = [Math.min(...all) * 0.97, Math.max(...all) * 1.03];
    const y = (loss) => (180 - (150 * Math.log(loss / low)) / Math.log(high / low)).toFixed(1);
    const color = (name) => style.getPropertyValue(`--lab-${name}`).trim();
    const words = (at, from, what, anchor = "start") =>
      `<text x="${at}" y="${from}" text-anchor="${anchor}">${what}</text>`;
    const parts = [
      `<polyline fill="none" stroke="${color("one")}" points="${run.losses.map((loss, i) => `${x((i + 0.5) * run.every)},${y(loss)}`).join(" ")}"/>`,
      ...marks.flatMap(([loss, , name]) => [
        `<path stroke="#1f2933" stroke-dasharray="2 3" d="M${left} ${y(loss)}H${right}"/>`, words(right, y(loss) - 2, name, "end")]),
      words(left, 16, `loss of the batches; dev at the end ${run.last.dev.toFixed(3)}`),
      ...[low / 0.97, high / 1.03].map((loss) => words(left - 6, y(loss), loss.toFixed(2), "end")),
      words(left, 206, `units: ${WORDS.join(", ")}`),
      words(left, height - 6, "step 0"), words(right, height - 6, thousands(end), "end"),
    ];
    const sizes = run.censuses[0].states.map((layer) => layer.size);
    const room = 185 / sizes.reduce((a, b) => a + b);
    let base = 212;
    sizes.forEach((size, l) => {
      run.censuses.forEach(({ step, states }, i) => {
        const to = x(run.censuses[i + 1]?.step ?? run.step);
        states[l].forEach((state, id) => parts.push(
          `<path stroke="${color(STATES[state])}" stroke-width="${(room * 0.9).toFixed(2)}" d="M${x(step)} ${(base + (id + 0.5) * room).toFixed(2)}H${to}"/>`));
      });
      base += size * room;
    });
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">${parts.join("")}</svg>`;
  }

  lab.define("mlp-playground", Playground);
  Object.assign(lab, { PRESETS, Playground, Run, ceiling, curves, lifelines, python, settingsOf, sum, wordsOf });
})();
