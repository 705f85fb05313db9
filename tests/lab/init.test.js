// What the init lab says and counts beside its network.
const assert = require("node:assert/strict");
const { test } = require("node:test");

for (const name of ["core", "draw", "random", "matmul", "batch", "network", "init"]) {
  require(`../../mlpinit/lab/${name}.js`);
}
const { InitLab, histogram, nice, padded, standing } = globalThis.mlpinitLab;
const start = InitLab.prototype.defaults.call({ constructor: InitLab, getAttribute: () => null });
const ask = (change) => {
  const lab = Object.create(InitLab.prototype);
  const state = { ...start, ...change };
  const result = lab.compute(state);
  return [lab.say(result, state), lab.rows(result, state), result];
};

test("the slider's steps lead to round scales and back", () => {
  const { at, position, min, max } = InitLab.controls[0];
  assert.deepEqual([-200, -100, -70, 0, 48].map(at), [0.01, 0.1, 0.2, 1, 3]);
  for (let step = min; step < max; step++) assert.equal(position(at(step)), step);
});

test("a scale's place among the schemes", () => {
  const at = (change) => standing({ ...start, ...change });
  assert.equal(at({}), "above Kaiming’s 0.304 (fan-in 30)");
  assert.equal(at({ scale: 0.2 }), "between LeCun’s 0.183 and Kaiming’s 0.304 (fan-in 30)");
  assert.equal(at({ scale: 0.0933 }), "at Xavier’s 0.0933 (fan-in 30)");
  assert.equal(at({ scale: 1.67, kind: "gain", depth: 10 }), "at Kaiming’s 1.67 (fan-in 200)");
  assert.equal(at({ scale: 0.01, activation: "gelu" }), "below Xavier’s 0.0933 (fan-in 30)");
});

test("a histogram counts every entry once, those beyond at the ends, and no padding", () => {
  const width = 3;
  const values = new Float64Array(2 * padded(width)).fill(7);
  values.set([-9, 0.1, 9], 0);
  values.set([-0.99, 0.1, 0.99], padded(width));
  const bins = histogram(values, width, -1, 1);
  assert.equal(bins.length, 50);
  assert.ok(Math.abs(bins.reduce((x, y) => x + y) - 1) < 1e-12);
  assert.deepEqual([bins[0], bins[27], bins[49]], [2 / 6, 2 / 6, 2 / 6]);
});

test("axes end at round numbers", () => {
  assert.deepEqual([0.011, 1, 1.1, 4, 90].map(nice), [0.02, 1, 2, 5, 100]);
});

test("the sentence and the table tell what the network counts", () => {
  const [sentence, [head, row], { layers, loss }] = ask({});
  const share = ((100 * layers[0].saturated) / layers[0].n).toFixed(1);
  assert.ok(layers[0].saturated > 3000);
  assert.match(sentence, new RegExp(`scale 1, bias scale 1 and tanh, ${share}% of activations`));
  assert.match(sentence, /no units are soft-dead in this batch, none hard-dead/);
  assert.match(sentence, new RegExp(`starts at ${loss.toFixed(2)}\\.$`));
  assert.equal(row.length, head.length);
  assert.deepEqual(row.slice(3, 6), [`${share}%`, 0, 0]);
});

test("dead units are told, over all layers", () => {
  const [sentence, [, ...rows], { hard }] = ask({ activation: "relu", scale: 0.05, depth: 3 });
  assert.ok(hard > 0);
  assert.equal(rows.length, 3);
  assert.equal(rows.reduce((sum, row) => sum + row[5], 0), hard);
  assert.match(sentence, new RegExp(`${hard} units are soft-dead in this batch, ${hard} hard-dead`));
});

test("where parts are named, the sentence tells of these and of what is not as it was", () => {
  const tell = (show, change = {}) => {
    const lab = Object.create(InitLab.prototype);
    lab.first = start;
    lab.state = { ...start, ...change };
    lab.narrow(show.split(" "));
    return lab.say(lab.compute(lab.state), lab.state);
  };
  assert.match(tell("scale z"), /^With scale 1, the standard deviation of z is [\d.]+\.$/);
  assert.match(tell("bias dead"), /^With bias scale 1, no units are soft-dead in this batch, none hard-dead\.$/);
  assert.match(tell("scale bias map"), /^With scale 1 and bias scale 1, [\d.]+% of activations are saturated\.$/);
  assert.match(tell("scale map", { depth: 2, norm: true }),
    /^With scale 1, batch norm and 2 hidden layers, [\d.]+% of the activations of 2 layers are/);
  assert.match(tell("depth std loss", { depth: 3, layer: 2 }),
    /^With 3 hidden layers, the standard deviation of z in layer 2 is .*; the loss starts at [\d.]+\.$/);
  assert.match(tell("layer gradient"), /^The size of ∂ℓ\/∂z is [\d.e-]+\.$/);
  assert.match(tell("scale schemes"), /^With scale 1, the scale is above Kaiming’s 0.304 \(fan-in 30\)\.$/);
  assert.equal(tell("dead").match(/saturated|loss|Kaiming/), null);
  const { words } = InitLab.controls[0];
  assert.equal(words(1, start, { narrowed: true }), "1");
  assert.equal(words(1, start, {}), "1, above Kaiming’s 0.304 (fan-in 30)");
  assert.match(tell("scale"), /saturated; .*hard-dead; the loss/);
});

test("a drag moves one network: its draws do not change with scale, bias or activation", () => {
  const lab = Object.create(InitLab.prototype);
  const once = (change) => lab.compute({ ...start, ...change }).network.first.slice();
  const first = once({});
  assert.deepEqual(once({ scale: 0.2, bias: 0, activation: "relu" }), first);
  assert.notDeepEqual(once({ seed: 1 }), first);
});
