// Training in the page against torch: the values that trainer_values.py wrote (TRAINER_VALUES).
const assert = require("node:assert/strict");
const fs = require("node:fs");
const { test } = require("node:test");

for (const name of ["random", "matmul", "network", "unpack", "trainer", "words"]) {
  require(`../../mlpinit/lab/${name}.js`);
}
const lab = globalThis.mlpinitLab;
const values = JSON.parse(fs.readFileSync(process.env.TRAINER_VALUES, "utf8"));
const data = lab.split(lab.unpackWords(lab.packedWords));
const TOLERANCE = 1e-4;

const near = (found, wanted, told) =>
  assert.ok(Math.abs(found - wanted) <= TOLERANCE, `${told}: ${found}, torch has ${wanted}`);

const start = { seed: 1, scheme: "scaled", scale: 0.2, bias: 0.01, activation: "tanh", depth: 1,
  units: 40, normalize: null, rate: 0.1, schedule: "constant", steps: 100, batch: 32 };
const trainer = (changes = {}, options) => new lab.Trainer(data, { ...start, ...changes }, options);

test("the splits are those of the package", () => {
  for (const [name, [n, X, Y]] of Object.entries(values.splits)) {
    assert.equal(data[name].n, n);
    assert.deepEqual([...data[name].X.slice(0, 3)], X[0]);
    assert.deepEqual([...data[name].X.slice(-3)], X[1]);
    assert.deepEqual([data[name].Y[0], data[name].Y[n - 1]], Y);
  }
});

test("the letters' frequencies alone score what they do in torch", () => {
  near(lab.lettersLoss(data), values.letters, "letters");
});

test("how far z varies over the examples leaves the biases out", () => {
  const run = trainer({ depth: 2, bias: 3 });
  run.train(1);
  for (const { units, z, overExamples } of run.look()) {
    const mean = (values) => values.reduce((sum, one) => sum + one, 0) / values.length;
    const variances = Array.from({ length: units }, (_, j) => {
      const column = [...z].filter((_, i) => i % units === j);
      return mean(column.map((one) => (one - mean(column)) ** 2));
    });
    near(overExamples, Math.sqrt(mean(variances)), "std");
    assert.ok(overExamples < 0.7 * Math.sqrt(mean([...z].map((one) => one ** 2))));
  }
});

for (const { settings, losses, states, dev } of values.runs) {
  const { scheme, activation, depth, units, normalize, seed } = settings;
  test(`${scheme}, ${activation}, ${depth} × ${units}, ${normalize}, seed ${seed}`, () => {
    const run = trainer(settings);
    run.train(losses.length).forEach((loss, step) => near(loss, losses[step], `step ${step}`));
    const census = run.census();
    assert.deepEqual(census.layers.map(({ state }) => [...state]), states);
    near(census.dev, dev, "dev");
  });
}

test("without WebAssembly the losses are the same", () => {
  const plain = trainer({}, { plainly: true }).train(20);
  trainer().train(20).forEach((loss, step) => near(loss, plain[step], `step ${step}`));
});

test("a loss that is not finite stops the run and says at which step", () => {
  const run = trainer({ activation: "relu", rate: 1e6 });
  assert.throws(() => run.train(100), (error) =>
    error instanceof lab.TrainingStopped && error.message.includes(`step ${run.done} `));
});

// Ten units that are stuck: three at 1, and seven that never leave −1.
function stuck() {
  const run = trainer({ depth: 2 });
  for (let j = 0; j < 10; j++) run.net.b[0].x[j] = j < 3 ? 40 : -40;
  run.train(50);
  return run;
}

test("dead units are removed, and the losses stay what they were", () => {
  const run = stuck();
  const before = run.census();
  assert.deepEqual(run.dead(before, 0), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(run.remove(before), 10);
  const after = run.census();
  assert.equal(after.layers[0].state.length, 30);
  assert.deepEqual(run.units[0].slice(0, 2), [10, 11]);
  near(after.train, before.train, "train");
  near(after.dev, before.dev, "dev");
  assert.ok(run.train(20).every(Number.isFinite));
});

test("dead units are recycled: the losses stay, and they live and learn", () => {
  const run = stuck();
  const before = run.census();
  assert.equal(run.recycle(before), 10);
  const after = run.census();
  near(after.train, before.train, "train");
  assert.deepEqual(run.dead(after, 0), []);
  const incoming = () => Array.from(run.net.W[0].x.filter((_, i) => i % run.net.W[0].stride < 10));
  const was = incoming();
  run.train(20);
  assert.notDeepEqual(incoming(), was);
});

test("shrinking multiplies the hidden weights alone; batch norm can be switched on and off", () => {
  const run = trainer({ scheme: "quiet_output" });
  const [hidden, output] = run.net.W.map(({ x }) => Array.from(x));
  run.shrink(0.5);
  assert.deepEqual(Array.from(run.net.W[0].x), hidden.map((w) => w / 2));
  assert.deepEqual(Array.from(run.net.W[1].x), output);
  run.switchNorm(true);
  const share = () => run.look()[0].flat.reduce((sum, one) => sum + one, 0) / (32 * 40);
  run.train(5);
  assert.ok(share() < 0.1, "batch norm keeps the pre-activations small");
  run.switchNorm(false);
  assert.ok(run.train(5).every(Number.isFinite));
});

test("names are sampled from what it learned, the same each time", () => {
  const run = trainer();
  run.train(200);
  const names = run.names(5);
  assert.deepEqual(run.names(5), names);
  assert.ok(names.some((name) => /^[a-z]+$/.test(name)));
});

test("a matrix in float32 is multiplied as plainly, whatever its size", () => {
  const twister = new lab.Twister(3);
  for (const [rows, k, n] of [[4, 8, 8], [32, 30, 200], [8, 27, 32], [36, 5, 16]]) {
    const memory = lab.memoryOf(4 * (rows * k + k * n + 2 * rows * n));
    const all = new Float32Array(memory.buffer);
    all.set(twister.normals(rows * k + k * n));
    const [b, c] = [4 * rows * k, 4 * (rows * k + k * n)];
    const multiply = (plainly, out) =>
      lab.matmul(memory, { single: true, plainly })(0, b, out, rows, k, n, 4 * k, 4 * n);
    multiply(true, c);
    multiply(false, c + 4 * rows * n);
    const [slow, fast] = [0, 1].map((i) => all.subarray(c / 4 + i * rows * n, c / 4 + (i + 1) * rows * n));
    slow.forEach((value, i) => near(fast[i], value, `entry ${i}`));
  }
});
