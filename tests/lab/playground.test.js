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
  fs.writeFileSync(process.env.PRESETS, JSON.stringify(copied));
});

test("what was done on the way stands below the code", () => {
  const done = [{ step: 40, words: "3 dead units recycled" }];
  const code = lab.python(lab.settingsOf(first), 100, done, true);
  assert.match(code, /# in the page, at step 40: 3 dead units recycled\n$/);
  assert.match(code, /corpus.load\("words.txt"\)/);
});

test("words are refused by their line", () => {
  const fifty = Array(50).fill("anna");
  assert.deepEqual(lab.wordsOf(`${fifty.join("\r\n")}\n\n`), fifty);
  assert.deepEqual(lab.wordsOf(fifty.join("\n").toUpperCase()), fifty);
  assert.throws(() => lab.wordsOf(["anna", "zoë", ...fifty].join("\n")), /Line 2, “zoë”, has “ë”/);
  assert.throws(() => lab.wordsOf(["anna", "", ...fifty].join("\n")), /Line 2 is empty/);
  assert.throws(() => lab.wordsOf("anna\nberta"), /These are 2 words; it takes 50/);
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
