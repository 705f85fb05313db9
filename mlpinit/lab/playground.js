// <mlp-playground>: start the book's network, train it in the page, break it, rescue it.
(() => {
  const lab = globalThis.mlpinitLab;
  const { dot, element, legend, line, map, nice, overLayers, percent, ridges, text, three } = lab;
  const CHANCE = Math.log(27);
  const RULE = 1e-3; // the update-to-data ratio that is usually aimed at
  const SPOKEN = 3000; // ms between two sentences
  const DEEP = 6; // layers; deeper networks have at most NARROW units in each
  const NARROW = 64;
  const POINTS = 400; // of a curve
  const KEPT = "mlpinit-words";
  const DEAD = 2; // a unit's state from here on
  const STATES = ["live", "mostly", "soft", "hard"];
  const SHORT = ["live", "mostly", "soft-", "hard-dead"];
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
    const { scheme, scale, bias, gain, activation, seed, rate, schedule, norm } = state;
    const depth = Math.floor(state.depth);
    const units = Math.min(Math.floor(state.units), depth > DEEP ? NARROW : Infinity);
    return {
      seed: Math.floor(seed), scheme, scale, bias, gain: gain || undefined, activation, depth, units,
      normalize: norm ? "batch" : null, rate, schedule, steps: Number(state.steps),
      batch: Number(state.batch),
    };
  }

  // The same run in torch. `steps`: how far it went; `done`: what was done to it on the way.
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
    const statistics = normalize ? ", statistics=train.calibrate(run.params, splits.train)" : "";
    return [
      "import torch",
      "from mlpinit import corpus, init, mlp, train",
      "",
      own ? 'splits = corpus.split(corpus.load("words.txt"))  # your own, one per line'
        : "splits = corpus.split(corpus.load())",
      `arch = mlp.Architecture(hidden=${hidden}, activation="${activation}"${norm})`,
      `g = torch.Generator().manual_seed(${settings.seed})`,
      `start = init.draw(arch, ${drawn}, generator=g)`,
      `run = train.sgd(start, splits.train, steps=${Math.max(1, steps)}, generator=g, lr=${lr}${size})`,
      `print(train.evaluate(run.params, splits.dev${statistics}))`,
      ...done.map(({ words, step }) => `# in the page, at step ${step}: ${words}`),
      "",
    ].join("\n");
  }

  // Words from a text, one per line; or an Error that names the line.
  function wordsOf(given) {
    const lines = given.split(/\r\n|\r|\n/).map((one) => one.trim().toLowerCase());
    while (lines.length && !lines.at(-1)) lines.pop();
    lines.forEach((word, i) => {
      const odd = [...word].find((letter) => !/[a-z]/.test(letter));
      if (odd) throw new Error(`Line ${i + 1}, “${word.slice(0, 30)}”, has “${odd}”; a word is made of the letters a to z.`);
      if (!word) throw new Error(`Line ${i + 1} is empty; write one word per line.`);
    });
    if (lines.length < 50) {
      throw new Error(`These are ${lines.length} words; it takes 50 at least, because a tenth of them is kept to look at.`);
    }
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
        stopped: "", done: [], births: 0, deaths: 0, recycled: 0, running: false, rate: settings.rate,
      });
      this.send({ do: "start", settings, number: ++this.number });
    }

    hear(report) {
      if (report.table) Object.assign(this, { table: report.table });
      else if (report.again === this.number || report.again === undefined) this.take(report);
      this.changed();
    }

    take({ step, losses, look, census, names, stopped, done, running, rate }) {
      this.add(losses);
      this.step = step;
      Object.assign(this, { look: look ?? this.look, running: running ?? false, rate: rate ?? this.rate });
      if (done?.what === "recycle") this.recycled += done.n;
      if (census) this.count(census, done?.what === "recycle");
      if (names) this.names = names;
      if (stopped) Object.assign(this, { stopped, running: false });
      if (done) this.done.push({ ...done, words: told(done) });
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

    // Units that a rescue has drawn anew do not count as having come back.
    count(census, redrawn) {
      const last = this.censuses.at(-1);
      const states = census.units.map((ids, l) => new Map(ids.map((id, j) => [id, census.layers[l].state[j]])));
      if (last) {
        states.forEach((layer, l) => layer.forEach((state, id) => {
          const before = last.states[l].get(id);
          if (before < DEAD && state >= DEAD) this.deaths++;
          if (before >= DEAD && state < DEAD && !redrawn) this.births++;
        }));
      }
      if (last?.step === census.step) this.censuses.pop();
      this.censuses.push({ step: census.step, states, train: census.train, dev: census.dev });
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

  const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

  const told = ({ what, value, n }) => ({
    shrink: `hidden weights and biases × ${value}`,
    norm: `batch norm ${value ? "on" : "off"}`,
    recycle: `${plural(n, "dead unit")} recycled`,
    remove: `${plural(n, "dead unit")} removed`,
  })[what];

  // The name of a line, on a ground that keeps it legible where curves cross it.
  function named(brush, words, right, y) {
    const { context } = brush;
    const wide = context.measureText(words).width + 6;
    context.fillStyle = brush.color("ground");
    context.fillRect(right - wide, y - 16, wide, 14);
    text(brush, words, right - 3, y - 9, "right", "ink");
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
    const [left, right, top, bottom] = [40, brush.width - 12, 22, brush.height - 20];
    const end = Math.max(20, ...runs.map(({ run }) => run.step));
    const table = runs[0].run.table;
    const all = [CHANCE, ...(table ? [table] : []), ...runs.flatMap(({ run }) => run.losses)];
    // A spike above where the run began, and well above chance, is cut off.
    const most = 1.03 * Math.max(1.5 * CHANCE, ...runs.map(({ run }) => run.losses[0] ?? 0));
    const [low, high] = [Math.min(...all) * 0.97, Math.min(most, Math.max(...all) * 1.03)];
    const x = (step) => left + ((right - left) * step) / end;
    const y = (loss) =>
      Math.max(top, bottom - ((bottom - top) * Math.log(loss / low)) / Math.log(high / low));
    const ticks = high > 2 * low ? [2, 3, 5, 10, 20, 30, 50] : [2, 2.2, 2.4, 2.6, 2.8, 3, 3.3, 3.6, 4];
    for (const tick of ticks.filter((one) => one > low && one < high)) {
      line(brush, [[left, y(tick)], [right, y(tick)]], "line");
      text(brush, String(tick), left - 6, y(tick), "right");
    }
    stepAxis(brush, end, left, right, x);
    const labels = [];
    for (const [loss, words] of [[CHANCE, "chance"], [table, "count table, dev"]]) {
      if (!loss) continue;
      line(brush, [[left, y(loss)], [right, y(loss)]], "ink", [2, 3]);
      labels.push([words, y(loss)]);
    }
    runs.forEach(({ run, color }) => {
      line(brush, run.losses.map((loss, i) => [x((i + 0.5) * run.every), y(loss)]), color);
      for (const { step, dev } of run.censuses) if (Number.isFinite(dev)) dot(brush, x(step), y(dev), color, true);
    });
    for (const [words, at] of labels) named(brush, words, right, at);
    legend(brush, runs.map(({ color }, i) => ({
      color, label: i ? "pinned run" : "batches; hollow: dev",
    })), left);
  }

  // A line per unit, over the steps, in the colour of its state; layers one below the other.
  function lifelines(brush, run) {
    const { context, color } = brush;
    const [left, right, top, bottom] = [40, brush.width - 12, 22, brush.height - 20];
    const words = brush.width < 380 ? SHORT : WORDS;
    legend(brush, STATES.map((state, i) => ({ color: state, label: words[i] })), left);
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
      { name: "bias", label: "bias scale", type: "number", min: 0, max: 100, step: 0.01, value: 0.01 },
      {
        name: "gain", label: "gain (0: the usual one)", type: "number", min: 0, max: 10, step: 0.001,
        value: 0,
      },
      {
        name: "schedule", label: "learning rate", type: "select", value: "constant",
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
      { name: "loss", label: "Loss over the steps, on a logarithmic axis", ratio: 0.5 },
      { name: "lives", label: "Lifelines: one line per unit, counted over all contexts", ratio: 0.5 },
      { name: "pinned", part: "lives", label: "Lifelines of the pinned run", ratio: 0.5 },
      { name: "map", label: "Saturation map of the last batch, first layer: white = saturated", ratio: 0.2 },
      { name: "z", label: "Pre-activations z by layer", ratio: 0.5 },
      { name: "h", label: "Activations h by layer", ratio: 0.5 },
      {
        name: "ratio", label: "Update-to-data ratio of the weights, by layer; dashes: 1e−3", ratio: 0.5,
      },
    ];

    narrow(names) {
      super.narrow(names.length ? names : ["scheme", "scale", "rate", "loss", "lives", "map"]);
    }

    connectedCallback() {
      if (this.state || this.waits) return;
      // A run takes the page's processor: nothing of it before the lab is near the view.
      this.waits = true;
      const begin = () => {
        this.waits = false;
        super.connectedCallback();
      };
      if (!globalThis.IntersectionObserver) begin();
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
      presets.addEventListener("input", () =>
        this.set({ ...PLAIN, ...PRESETS[presets.value].set }));
      this.presets = presets;
      const bar = element("div", { class: "play-bar" },
        group("Train",
          button("train", "Train", () => this.trainTo(this.run.running ? 0 : undefined)),
          button("some", "100 steps", () => this.trainTo(this.run.step + 100)),
          button("again", "Start again", () => this.begin())),
        group("Open", presets),
        group("Rescue",
          button("shrink", "Shrink ×½", () => this.rescue("shrink", 0.5), "hidden weights and biases × 0.5"),
          button("recycle", "Recycle dead", () => this.rescue("recycle")),
          button("remove", "Remove dead", () => this.rescue("remove")),
          button("norm", "Batch norm", () => this.rescue("norm", !this.normed))),
        group("Compare", button("pin", "Pin and start again", () => this.toggle())),
        group("Take home",
          button("python", "Copy as Python", () => this.copy(this.python(), "The Python code is copied.")),
          button("share", "Copy link", () => this.share()),
          button("figure", "Save figure", () => this.save())));
      this.named = element("p", { class: "play-names" });
      this.note = element("p", { class: "play-note", role: "note" });
      this.code = element("pre", { class: "play-code", tabindex: "0", hidden: true });
      // The verdict stands where the buttons are, above the pictures.
      form.after(bar, this.sentence, this.note, this.named, this.code);
      this.numbers.before(this.ownWords());
      this.toggleAttribute("pinned", false);
      for (const node of this.desk.querySelectorAll("button, select, textarea")) {
        node.setAttribute("data-lm-suppress-shortcuts", "true");
      }
    }

    ownWords() {
      const area = element("textarea", { rows: 4, id: `${this.id}-words`, spellcheck: "false" });
      if (this.own) area.value = this.own.join("\n");
      const said = element("p", { class: "play-note", role: "note" });
      const use = (list, words) => {
        this.own = list;
        try {
          if (list) localStorage.setItem(KEPT, list.join("\n"));
          else localStorage.removeItem(KEPT);
        } catch { /* a browser that keeps nothing */ }
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
          said.textContent = error.message;
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
        element("label", { for: area.id }, "One word per line, letters a to z; a file can be dropped here."),
        area, element("div", { class: "play-group" }, take, back), said);
    }

    // The name of the preset that the settings are, however they came about.
    preset() {
      const set = (name) => ({ ...PLAIN, ...PRESETS[name].set, steps: this.state.steps });
      const same = (other) => Object.keys(other).every((name) => other[name] === this.state[name]);
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
        if (this.run.step) this.run.done.push({ what: "rate", step: this.run.step, words: `learning rate ${rate}` });
      }
      this.rate = rate;
      return this.run;
    }

    begin(settings = settingsOf(this.state)) {
      this.run.begin(settings);
      this.pin?.begin(this.pin.settings);
      if (this.code) this.code.hidden = true;
    }

    trainTo(step = Number(this.state.steps)) {
      if (this.run.stopped) this.begin();
      const to = step && step <= this.run.step ? this.run.step + Number(this.state.steps) : step;
      for (const run of [this.run, this.pin]) {
        if (run) run.send(to ? { do: "run", to } : { do: "pause" });
      }
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
      this.presets.value = this.preset();
      const runs = [{ run, color: "one" }, ...(this.pin ? [{ run: this.pin, color: "two" }] : [])];
      this.buttons.train.textContent = run.running ? "Pause" : `Train ${thousands(Number(this.state.steps))} steps`;
      this.buttons.pin.textContent = this.pin ? "Let the pinned run go" : "Pin and start again";
      this.buttons.norm.textContent = this.normed ? "Batch norm off" : "Batch norm on";
      this.note.textContent = run.stopped || this.difference();
      this.named.textContent = run.names.length ? `It writes: ${run.names.map((one) => one || "(nothing)").join(", ")}.` : "";
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
      const came = [[run.deaths, "death"], [run.births, "revival"]].map(([n, word]) => plural(n, word));
      if (run.recycled) came.push(`${run.recycled} recycled`);
      const moved = run.deaths || run.births || run.recycled ? `, after ${came.join(", ")}` : "";
      return `Step ${thousands(run.step)}: ${percent(run.saturated)} of the last batch’s activations are ` +
        `saturated; by the count at step ${thousands(last.step)}, the loss on dev is ${last.dev.toFixed(3)} ` +
        `and ${dead || "none"} of ${units} units ${dead === 1 ? "is" : "are"} dead${moved}.`;
    }

    // What the change of settings did, in a sentence.
    difference() {
      const { pin, run } = this;
      if (!pin?.last || !run.last) return "";
      const changed = Object.keys(pin.of).filter((name) => pin.of[name] !== this.state[name] && name !== "steps");
      if (!changed.length) return "Pinned. Change a setting: the two runs share their draws and batches.";
      const words = changed.map((name) => {
        const { label, options } = this.constructor.controls.find((one) => one.name === name);
        const said = (value) => options?.find(([key]) => key === value)?.[1] ?? value;
        return `${label} ${said(this.state[name])} instead of ${said(pin.of[name])}`;
      });
      const by = run.last.dev - pin.last.dev;
      const loss = Math.abs(by) < 5e-4 ? "the same to three decimals" : `${Math.abs(by).toFixed(3)} ${by < 0 ? "lower" : "higher"}`;
      return `With ${words.join(", ")}: the loss on dev is ${loss} at step ${thousands(run.last.step)} ` +
        `(pinned: step ${thousands(pin.last.step)}), with ${plural(run.dead[0], "dead unit")} instead of ${pin.dead[0]}.`;
    }

    rows(run) {
      const { last, look } = run;
      return [
        ["layer", "units", ...WORDS, "update / data"],
        ...(last?.states ?? []).map((layer, l) => {
          const states = [...layer.values()];
          return [l + 1, states.length, ...STATES.map((_, i) => states.filter((one) => one === i).length),
            look?.[l] && Number.isFinite(look[l].ratio) ? three(look[l].ratio) : "–"];
        }),
      ];
    }

    python() {
      return python(this.run.settings, this.run.step, this.run.done, Boolean(this.own));
    }

    copy(words, said) {
      this.code.textContent = words;
      this.code.hidden = false;
      const done = () => (this.live.textContent = said);
      navigator.clipboard?.writeText(words).then(done, () => {}); // it stands below in any case
    }

    // The start and its settings; what was changed on the way is not in it.
    address() {
      const { state } = this;
      this.state = { ...state, rate: this.run.step ? this.run.settings.rate : state.rate };
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
    const all = [CHANCE, ...run.losses, ...run.censuses.map(({ dev }) => dev)].filter(Number.isFinite);
    const [low, high] = [Math.min(...all) * 0.97, Math.max(...all) * 1.03];
    const y = (loss) => (180 - (150 * Math.log(loss / low)) / Math.log(high / low)).toFixed(1);
    const color = (name) => style.getPropertyValue(`--lab-${name}`).trim();
    const words = (at, from, what, anchor = "start") =>
      `<text x="${at}" y="${from}" text-anchor="${anchor}">${what}</text>`;
    const parts = [
      `<polyline fill="none" stroke="${color("one")}" points="${run.losses.map((loss, i) => `${x((i + 0.5) * run.every)},${y(loss)}`).join(" ")}"/>`,
      `<path stroke="#1f2933" stroke-dasharray="2 3" d="M${left} ${y(CHANCE)}H${right}"/>`,
      words(right, y(CHANCE) - 4, "chance", "end"),
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
  Object.assign(lab, { PRESETS, Playground, python, settingsOf, wordsOf });
})();
