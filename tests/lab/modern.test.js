// The labs of Part V: their numbers against those of torch, and what they say of them.
const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { test } = require("node:test");

for (const name of ["core", "draw", "random", "stream", "rows", "router"]) {
  require(`../../mlpinit/lab/${name}.js`);
}
const { StreamLab, RowsLab, RouterLab } = globalThis.mlpinitLab;
const values = JSON.parse(readFileSync(process.env.LAB_VALUES));
const make = (kind) => Object.create(kind.prototype);
const close = (ours, theirs, within, what) =>
  assert.ok(Math.abs(ours - theirs) <= within * Math.max(1, Math.abs(theirs)), `${what}: ${ours}, torch ${theirs}`);
const say = (kind, state) => make(kind).say(make(kind).compute(state), state);

test("the stream has torch's sizes after every branch", () => {
  for (const { depth, scale, sizes, law } of values.stream) {
    const { found, laws } = make(StreamLab).compute({ depth: String(depth), scale });
    assert.equal(found.length, depth + 1);
    found.forEach((one, k) => close(one, sizes[k], 1e-5, `${depth} branches at ${scale}, after ${k}`));
    close(laws.at(-1), law, 1e-12, "law");
  }
});

test("the stream's sentence names the two scales that have a name", () => {
  assert.match(say(StreamLab, { depth: "64", scale: 1 / 8 }), /^64 branches at a scale of 0\.125 = 1\/√64: .* law says 1\.64\.$/);
  assert.match(say(StreamLab, { depth: "16", scale: 1 / 16 }), / 0\.0625 = 1\/16: /);
  assert.match(say(StreamLab, { depth: "4", scale: 1 }), / a scale of 1: .* law says 4\.$/);
  assert.match(say(StreamLab, { depth: "64", scale: 1 }), /ends at \d\.\d × 10⁹ times/);
  assert.match(say(StreamLab, { depth: "64", scale: 0 }), /ends at 1 times .* law says 1\.$/);
});

test("rows have torch's entropy, saturation and Jacobian", () => {
  for (const { keys, sd, first, ...told } of values.rows) {
    const found = make(RowsLab).compute({ keys: String(keys), sd });
    for (const [name, value] of Object.entries(told)) close(found[name], value, 1e-6, `${name} of ${keys} at ${sd}`);
    first.forEach((p, k) => close(found.first[k], p, 1e-6, `key ${k}`));
  }
});

test("the rows' sentence tells equal keys from one that has all", () => {
  assert.match(say(RowsLab, { keys: "8", sd: 0 }), /largest share is 12\.5%, .* that of 8 equal keys of 8, 0% of the rows/);
  assert.match(say(RowsLab, { keys: "64", sd: 32 }), /largest share is (9\d|100)\.\d%/);
});

test("sixteen experts get torch's shares of the inputs, and its loss", () => {
  for (const { weight, seed, shares, effective, dead, loss } of values.router) {
    const found = make(RouterLab).compute({ weight, seed }).at(-1);
    shares.forEach((share, e) => close(found.shares[e], share, 0.002, `expert ${e + 1} at ${weight}`));
    close(found.effective, effective, 0.01, "effective number");
    close(found.loss, loss, 1e-3, "loss");
    assert.equal(found.dead, dead);
  }
});

test("the router's sentence counts those that get nothing", () => {
  assert.match(say(RouterLab, { weight: 0, seed: 0 }), /after 300 steps [4-9] of 16 experts get no input, .* is \d\.\d, /);
  assert.match(say(RouterLab, { weight: 0.6, seed: 3 }), /all 16 experts get some of the inputs/);
});

test("every slider's steps lead to a value and back", () => {
  for (const kind of [StreamLab, RowsLab, RouterLab]) {
    const { at, position, min, max, limits } = kind.controls.find(({ type }) => type === "range");
    assert.deepEqual([at(min), at(max)], limits);
    for (let step = min; step <= max; step++) assert.equal(position(at(step)), step, `${kind.title} ${step}`);
  }
});
