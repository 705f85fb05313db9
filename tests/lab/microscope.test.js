// The training microscope on recordings that test_recording.py made (LAB_VALUES).
const assert = require("node:assert/strict");
const fs = require("node:fs");
const { test } = require("node:test");
const vm = require("node:vm");

for (const name of ["core", "draw", "microscope"]) require(`../../mlpinit/lab/${name}.js`);
const lab = globalThis.mlpinitLab;
const { Microscope, decode, look } = lab;
const { scripts, exact, chapter } = JSON.parse(fs.readFileSync(process.env.LAB_VALUES, "utf8"));
for (const script of Object.values(scripts)) vm.runInThisContext(script);
const run = (name) => decode(lab.recordings[name]);

// The lab without a page: what it says and counts at a setting.
function ask(names, change, runs = names.map((name) => [name, run(name)])) {
  const one = Object.create(Microscope.prototype);
  one.use(runs);
  one.getAttribute = () => null;
  const state = { ...one.defaults(), ...change };
  const found = one.compute(state);
  return { found, sentence: one.say(found, state), rows: one.rows(found, state), controls: one.controls };
}

function near(found, wanted, tolerance) {
  assert.equal(found === null, wanted === null);
  if (wanted !== null) assert.ok(Math.abs(found - wanted) <= tolerance, `${found} is not ${wanted}`);
}

for (const name of Object.keys(exact)) {
  test(`${name}: every frame is what was recorded`, () => {
    const one = run(name);
    assert.deepEqual(one.steps, exact[name].steps);
    one.steps.forEach((_, at) => {
      assert.deepEqual([...one.flat(at)], exact[name].white[at]);
      for (const kind of ["z", "h"]) assert.deepEqual(one[kind](at), exact[name][kind][at]);
      for (const kind of ["soft", "hard"]) assert.equal(one[kind][at], exact[name][kind][at]);
      for (const kind of ["batchLoss", "devLoss"]) near(one[kind][at], exact[name][kind][at], 5.001e-5);
      near(one.rate[at], exact[name].rate[at], 0);
      for (const kind of ["gradient", "ratio"]) {
        assert.equal(one[kind][at].length, one.tensors.length);
        exact[name][kind][at].forEach((size, i) => near(one[kind][at][i], size, 0.0050001 * size));
      }
    });
  });
}

test("the first frame of the article's start is the chapter's first batch", () => {
  const { flat, saturated, columns, batchLoss } = look(run("article"), 0);
  assert.deepEqual([...flat], chapter.white);
  assert.equal(saturated, chapter.white.reduce((x, y) => x + y) / 6400);
  assert.equal(columns, 0);
  near(batchLoss, chapter.loss, 5.001e-5);
});

test("a column counts as white where every example is", () => {
  const one = { ...run("article"), rows: 2, units: 3, flat: () => Uint8Array.of(1, 0, 1, 1, 1, 0) };
  const { columns, saturated } = look(one, 0);
  assert.deepEqual([columns, saturated], [1, 4 / 6]);
});

test("a step between two frames shows the frame before it", () => {
  const one = run("article");
  const [first, second] = one.steps.slice(-2);
  assert.equal(look(one, second - 1).step, first);
  assert.equal(look(one, second).step, second);
});

test("the slider goes from frame to frame and has its step in words", () => {
  const [{ min, max, at, position, words, limits }] = ask(["article", "scaled"], {}).controls;
  assert.deepEqual([min, max, limits], [0, 7, [0, 60]]);
  for (let frame = min; frame <= max; frame++) assert.equal(position(at(frame)), frame);
  assert.equal(words(60), "step 60 of 60");
  assert.equal(words(0), "step 0 of 60");
});

test("the sentence compares the two runs", () => {
  const { found: [left, right], sentence } = ask(["article", "scaled"], { step: 60 });
  assert.equal(sentence, "At step 60: quiet output has " +
    `${(100 * left.saturated).toFixed(1)}% of its activations saturated and a dev loss of ` +
    `${left.devLoss.toFixed(2)}; W×0.2, b×0.01 has ${(100 * right.saturated).toFixed(1)}% and ` +
    `${right.devLoss.toFixed(2)}.`);
  assert.ok(left.saturated > 0.5 && right.saturated < 0.05);
});

test("where pictures are named, the sentence tells of these", () => {
  const one = Object.create(Microscope.prototype);
  one.use(["article", "scaled"].map((name) => [name, run(name)]));
  one.getAttribute = () => null;
  const tell = (...show) => {
    one.narrow(show);
    return one.say(one.compute(one.defaults()), one.defaults());
  };
  assert.match(tell("step", "map"), /^At step 0: quiet output has [\d.]+% of its activations saturated; W.* has [\d.]+%\.$/);
  assert.match(tell("loss"), /^At step 0: quiet output has a dev loss of [\d.]+; W.* has [\d.]+\.$/);
  assert.equal(tell("gradient"), "At step 0: quiet output; W×0.2, b×0.01.");
  assert.match(tell("left"), /saturated and a dev loss of/);
});

test("the same run on both sides is shown and told once", () => {
  const { found, sentence } = ask(["article", "scaled"], { right: "article" });
  assert.equal(found.length, 1);
  assert.ok(!sentence.includes(";"));
  assert.equal(ask(["article"], {}).found.length, 1);
});

test("a run that is shorter says where it ends", () => {
  const short = { ...run("scaled"), steps: run("scaled").steps.map((step) => Math.min(step, 20)) };
  const { sentence } = ask([], { step: 60 }, [["article", run("article")], ["short", short]]);
  assert.match(sentence, /^At step 60: quiet output has .*; W×0.2, b×0.01 \(at its step 20\) has/);
});

test("the table has a row a tensor, and a dash where there is no number", () => {
  const { rows: [head, ...rows] } = ask(["article", "batch"], {});
  assert.equal(head.length, 3);
  for (const row of rows) assert.equal(row.length, 3);
  const cells = Object.fromEntries(rows.map(([name, ...cells]) => [name, cells]));
  assert.equal(cells["gradient of gain1"][0], "–");
  assert.notEqual(cells["gradient of gain1"][1], "–");
  assert.deepEqual(cells["update-to-data of b2"], ["–", "–"]);
  assert.equal(cells["learning rate"][0], "0.1");
  assert.equal(Number(cells["update-to-data of W1"][0]), run("article").ratio[0][1]);
});
