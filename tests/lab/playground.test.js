// What the playground gives away: the same run as Python, settings in words, and words that are none.
// Writes what each preset copies, and the losses that it had, where PRESETS says.
const assert = require("node:assert/strict");
const fs = require("node:fs");
const { test } = require("node:test");

for (const name of ["core", "draw", "random", "matmul", "network", "unpack", "trainer", "serve", "words", "playground"]) {
  require(`../../mlpinit/lab/${name}.js`);
}
const lab = globalThis.mlpinitLab;
const words = lab.unpackWords(lab.packedWords);
const first = Object.fromEntries(lab.Playground.controls.map(({ name, value }) => [name, value]));

test("presets are settings that there are, and copy as Python", () => {
  const data = lab.split(words);
  const others = [{ norm: true, seed: 7 }, { scheme: "orthogonal", units: 40, batch: "8" },
    { scheme: "xavier", activation: "gelu", schedule: "halves", steps: "200" },
    { scheme: "kaiming", activation: "silu", bias: 0.5, units: 40 }];
  const sets = [...Object.values(lab.PRESETS).map(({ set }) => set), ...others];
  const copied = sets.map((set) => {
    for (const name of Object.keys(set)) assert.ok(name in first, name);
    const settings = lab.settingsOf({ ...first, ...set });
    // Where rounding is multiplied from step to step, a few steps are compared.
    const wild = settings.scheme === "as_drawn" || settings.rate === 0.5;
    const steps = settings.depth > 6 ? 1 : wild ? 3 : 150;
    const run = new lab.Trainer(data, settings);
    const losses = run.train(steps);
    return { code: lab.python(settings, steps), losses, dev: run.census().dev, name: JSON.stringify(set) };
  });
  for (const set of [{}, { norm: true, units: 40 }]) {
    const settings = lab.settingsOf({ ...first, ...set });
    const { dev } = new lab.Trainer(data, settings).census();
    copied.push({ code: lab.python(settings, 0), losses: [], dev, name: `${JSON.stringify(set)}, not begun` });
  }
  fs.writeFileSync(process.env.PRESETS, JSON.stringify(copied));
});

test("what was done on the way stands below the code, and above it that it is not repeated", () => {
  const done = [{ step: 40, words: "3 dead units recycled" }];
  const code = lab.python(lab.settingsOf(first), 100, done, true);
  assert.match(code, /# in the page, at step 40: 3 dead units recycled\n$/);
  assert.match(code, /corpus.load\("words.txt"\)/);
  assert.match(code, /^# up to step 100; what was changed on the way is not repeated here\n/);
  assert.doesNotMatch(lab.python(lab.settingsOf(first), 100), /not repeated/);
});

test("what a start does not use has no effect on it", () => {
  const { controls } = lab.Playground;
  const idle = (name, scheme) => controls.find((one) => one.name === name).idle({ scheme });
  assert.deepEqual(["scale", "bias", "gain"].map((name) => idle(name, "scaled")), [false, false, true]);
  assert.deepEqual(["scale", "bias", "gain"].map((name) => idle(name, "kaiming")), [true, false, false]);
  assert.ok(["scale", "bias", "gain"].every((name) => idle(name, "as_drawn") && idle(name, "zero")));
  for (const [scheme, options] of [["xavier", { scale: 0.7, gain: 2 }], ["zero", { scale: 0.7, gain: 2, bias: 9 }],
    ["quiet_output", { bias: 9 }]]) {
    const changed = lab.settingsOf({ ...first, scheme, ...options });
    assert.deepEqual(changed, lab.settingsOf({ ...first, scheme }));
  }
  assert.notDeepEqual(lab.settingsOf({ ...first, scale: 0.7 }), lab.settingsOf(first));
});

test("the chapter's links are the presets", () => {
  const text = fs.readFileSync(`${__dirname}/../../book/playground.md`, "utf8");
  const links = [...text.matchAll(/\{playground\}`([^`<]+) <([^>]+)>`/g)];
  assert.deepEqual(links.map(([, words]) => words).sort(), Object.values(lab.PRESETS)
    .map(({ words }) => words).filter((one) => one !== lab.PRESETS.deep.words).sort());
  for (const [, words, query] of links) {
    const { set } = Object.values(lab.PRESETS).find((one) => one.words === words);
    const given = Object.fromEntries([...new URLSearchParams(query)].map(([name, value]) =>
      [name, typeof first[name] === "number" ? Number(value) : value]));
    assert.deepEqual({ ...first, ...given }, { ...first, ...set }, words);
  }
});

test("words are refused by their line", () => {
  const fifty = Array(50).fill("anna");
  assert.deepEqual(lab.wordsOf(`${fifty.join("\r\n")}\n\n`), fifty);
  assert.deepEqual(lab.wordsOf(fifty.join("\n").toUpperCase()), fifty);
  assert.throws(() => lab.wordsOf(["anna", "zoë", ...fifty].join("\n")), /Line 2, “zoë”, has “ë”/);
  assert.throws(() => lab.wordsOf(["anna", "", ...fifty].join("\n")), /Line 2 is empty/);
  assert.throws(() => lab.wordsOf("anna\nberta"), /^Error: These are 2 words; it takes 50/);
  assert.throws(() => lab.wordsOf("anna\nzoë"), /Line 2, “zoë”, has “ë”.* These are 2 words; it takes 50/);
});

// What a picture draws, on a canvas whose letters are six pixels wide.
function drawn(picture, of, [width, height]) {
  const calls = { fillText: [], arc: [] };
  const context = new Proxy({ measureText: (words) => ({ width: 6 * words.length }) }, {
    get: (known, name) => known[name] ?? ((...given) => void calls[name]?.push(given)),
    set: () => true,
  });
  picture({ context, width, height, color: (name) => name }, of);
  return calls;
}

const spiked = (n) => Array.from({ length: 500 }, (_, i) => (i && i <= n ? 90 : 3 - i / 1000));
const asRun = (losses, devs) => ({
  losses, every: 1, step: losses.length, done: [], table: 2.29, letters: 2.95, last: { dev: devs.at(-1)[1] },
  censuses: devs.map(([step, dev]) => ({ step, dev })),
});

test("the axis takes in the data, or arrows say how far they are off the scale", () => {
  const few = asRun(spiked(5), [[0, 3.3], [2, 88], [500, 2.6]]);
  const many = asRun(spiked(50), [[0, 3.3], [500, 2.6]]);
  const worse = asRun(spiked(0), [[0, 3.3], [500, 7]]);
  assert.ok(lab.ceiling([{ run: few }]) < 5);
  assert.equal(lab.ceiling([{ run: many }]), 90);
  assert.equal(lab.ceiling([{ run: worse }]), 7);
  for (const [run, said, devs] of [[few, true, 2], [many, false, 2], [worse, false, 2]]) {
    const { fillText, arc } = drawn(lab.curves, [{ run, color: "one" }], [600, 300]);
    const arrows = fillText.filter(([words]) => words.startsWith("↑"));
    assert.deepEqual(arrows.some(([words]) => words === "↑ off the scale, up to 90"), said);
    assert.equal(arrows.some(([words]) => words === "↑"), said);
    assert.equal(arc.length, devs + 1); // and the legend's
    assert.ok(arc.every(([, y]) => y < 300));
  }
});

test("the names of what is to be beaten stand apart, beside the curves and inside the picture", () => {
  for (const [width, names] of [[330, ["chance", "letters", "table"]], [600, ["chance", "frequencies", "count table"]]]) {
    const { fillText, arc } = drawn(lab.curves, [{ run: asRun(spiked(50), [[0, 3.3], [500, 2.6]]), color: "one" }], [width, width / 2]);
    const found = names.map((name) => fillText.find(([words]) => words === name));
    assert.ok(found.every(([words, x]) => x + 6 * words.length <= width && arc.every(([ax]) => ax + 3.5 <= x)));
    const heights = found.map(([, , y]) => y).sort((a, b) => a - b);
    assert.ok(heights.slice(1).every((y, i) => y - heights[i] >= 13), String(heights));
    assert.ok(heights.at(-1) < width / 2 - 14);
  }
});

test("the lifelines' legend is whole on a telephone", () => {
  for (const width of [260, 330, 500]) {
    const { fillText } = drawn(lab.lifelines, { censuses: [] }, [width, width / 2]);
    assert.deepEqual(fillText.map(([words]) => words), ["live", "mostly saturated", "soft-dead", "hard-dead"]);
    assert.ok(fillText.every(([words, x]) => x + 6 * words.length <= width), String(fillText));
  }
});

// A run as the page keeps it: each stop of `plan` a step, or a function of what can be sent.
async function kept(settings, plan, look = () => {}) {
  let wake = () => {};
  const run = new lab.Run({ list: words }, () => wake());
  run.begin(settings);
  for (const stop of plan) {
    if (typeof stop === "object") run.send(stop);
    else await new Promise((done) => {
      wake = () => run.step === stop && !run.running && run.last?.step === stop && done();
      run.send({ do: "run", to: stop });
    });
    look(run);
  }
  return run;
}

const dying = lab.settingsOf({ ...first, ...lab.PRESETS.shock.set, units: 40, rate: 2, steps: "200" });
const FIXED = [0, 1, 2, 5, ...Array.from({ length: 20 }, (_, i) => 10 * (i + 1))];
const history = (run) => run.censuses.map(({ step, states }) => [step, states.map((layer) => [...layer])]);

test("the same run has the same history, wherever it was looked at", async () => {
  const run = await kept(dying, [200]);
  const other = await kept(dying, [3, { do: "pause" }, 37, 100, 111, 200]);
  assert.deepEqual(run.censuses.map(({ step }) => step), FIXED);
  assert.deepEqual(history(other), history(run));
  assert.deepEqual(other.counts, run.counts);
  assert.ok(run.counts.deaths > 0);
  assert.deepEqual([1999, 2000, 2020].map((step) => lab.nextLook(step, 2000)), [2000, 2100, 2100]);
});

test("the dead are those from the start and who died, less who came back, was recycled or removed", async () => {
  const rescue = (what, value) => ({ do: "rescue", what, value });
  const seen = [];
  const check = (run) => {
    const { born, deaths, revivals, recycled, removed } = run.counts;
    assert.equal(run.dead[0], born + deaths - revivals - recycled - removed, `step ${run.step}`);
    seen.push(run.counts);
  };
  const stuck = lab.settingsOf({ ...first, bias: 20, units: 40, depth: 2, steps: "200" });
  for (const [settings, early, late] of [[dying, "recycle", "remove"], [stuck, "remove", "recycle"]]) {
    await kept(settings, [33, rescue(early), 50, { do: "rate", value: 0.5 }, 77, rescue(late), 90,
      rescue("shrink", 0.5), 95, rescue("norm", true), 99], check);
  }
  for (const name of ["born", "deaths", "revivals", "recycled", "removed"]) {
    assert.ok(seen.some((counts) => counts[name] > 0), name);
  }
});

test("a change of the rate is known by the step at which it was made", async () => {
  const run = await kept(dying, [33, { do: "rate", value: 0.2 }, { do: "rate", value: 0.1 }, 50]);
  assert.deepEqual(run.done.map(({ words, step }) => [words, step]), [["learning rate 0.1", 33]]);
  assert.equal(lab.sum({ born: 2, deaths: 1, revivals: 0, recycled: 3, removed: 0 }), " (2 at the start + 1 death − 3 recycled)");
  assert.equal(lab.sum({ born: 2, deaths: 0, revivals: 0, recycled: 0, removed: 0 }), "");
});

// A run as the page asks for it, in slices.
async function served(messages, until) {
  const reports = [];
  const send = await new Promise((done) => {
    const take = lab.serve((report) => {
      reports.push(report);
      if (until(report)) done(take);
    }, setImmediate);
    take({ do: "words", list: words });
    for (const message of messages) take(message);
  });
  return { reports, send };
}

test("a run is reported from its start to its end, step by step, and can be rescued on the way", async () => {
  const settings = lab.settingsOf({ ...first, units: 40, bias: 20 });
  const start = { do: "start", settings, number: 3 };
  const at = (step) => (report) => report.step === step && report.census;
  const { reports, send } = await served([start, { do: "run", to: 60 }], at(60));
  assert.ok(Math.abs(reports[0].table - 2.22) < 0.1);
  assert.equal(reports.flatMap(({ losses }) => [...(losses ?? [])]).length, 60);
  assert.ok(reports.slice(1).every(({ again }) => again === 3));
  const dead = ({ census }) => census.layers[0].state.filter((state) => state > 1).length;
  const before = reports.at(-1);
  assert.ok(dead(before) > 10);
  send({ do: "rescue", what: "recycle" });
  const { done, census, ...after } = reports.at(-1);
  assert.deepEqual([done.what, done.n, done.step], ["recycle", dead(before), 60]);
  assert.equal(dead({ census }), 0);
  assert.ok(Math.abs(census.dev - before.census.dev) < 1e-4);
  assert.equal(after.step, 60);
});

test("a run that diverges says at which step, and one that cannot be is told in words", async () => {
  const settings = lab.settingsOf({ ...first, activation: "relu", scheme: "as_drawn", rate: 30 });
  const asked = [{ do: "start", settings, number: 1 }, { do: "run", to: 500 }];
  const { reports } = await served(asked, ({ stopped }) => stopped);
  assert.match(reports.at(-1).stopped, /^The loss at step \d+ is (NaN|Infinity)/);
});
