// The derivative lab's numbers against those of torch, and what it says of them.
const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { test } = require("node:test");

for (const name of ["core", "draw", "derivative"]) require(`../../mlpinit/lab/${name}.js`);
const { DerivativeLab, half, inFormat, slopeAt } = globalThis.mlpinitLab;
const values = JSON.parse(readFileSync(process.env.LAB_VALUES));
const number = (x) => (x === null ? NaN : x);
const say = (state) => {
  const lab = Object.create(DerivativeLab.prototype);
  const whole = { z: 1, format: "float32", formula: "tanh", ...state };
  return lab.say(lab.compute(whole), whole);
};

test("rounding to half precision is torch's", () => {
  values.half.forEach(([x, rounded]) => {
    const expected = { inf: Infinity, "-inf": -Infinity }[rounded] ?? rounded;
    assert.ok(half(x) === expected, `${x}: ${half(x)}`);
  });
});

test("the exact slope is that of float64 without cancellation", () => {
  values.exact.forEach(([z, slope]) => assert.ok(Math.abs(slopeAt(z) / slope - 1) < 1e-14, `${z}`));
});

// A library's tanh may be off by one in its last digit, so h may be, and 1 − h² by twice that.
for (const [format, eps] of [["float64", 2 ** -52], ["float32", 2 ** -23], ["float16", 2 ** -10]]) {
  test(`h and 1 − h² in ${format} are torch's to the last digit`, () => {
    for (const [z, h, slope] of values[format].tanh) {
      const ours = inFormat(format, "tanh", z);
      assert.ok(Math.abs(ours.h - h) <= eps, `z = ${z}: ${ours.h}, torch ${h}`);
      assert.ok(Math.abs(ours.slope - slope) <= 2.5 * eps, `z = ${z}: ${ours.slope}, torch ${slope}`);
    }
  });

  test(`the naive formula fails in ${format} where it fails in torch`, () => {
    for (const [z, h] of values[format].naive) {
      const ours = inFormat(format, "naive", z).h;
      const theirs = number(h);
      assert.equal(Number.isNaN(ours), Number.isNaN(theirs), `z = ${z}`);
      if (!Number.isNaN(theirs)) assert.ok(Math.abs(ours - theirs) <= 4 * eps, `z = ${z}`);
    }
  });

  test(`the slope is exactly 0 in ${format} from where it is in torch`, () => {
    const first = values[format].first_one;
    assert.equal(inFormat(format, "tanh", first * 1.01).slope, 0);
    assert.ok(inFormat(format, "tanh", first * 0.98).slope > 0);
  });
}

test("the slider's steps lead to every size and back", () => {
  const { at, position, min, max } = DerivativeLab.controls[0];
  assert.deepEqual([min, -100, 0, 25, 100, max].map(at), [-400, -4, 0, 1, 4, 400]);
  for (let step = min; step <= max; step++) assert.equal(position(at(step)), step);
});

test("the sentence says what is left of the slope", () => {
  assert.match(say({ z: 9.1 }), /in float32 h is 1 and 1 − h² is exactly 0\.$/);
  assert.match(say({ z: 9.1, format: "float64" }), /1 − h² is 4\.99e−8\.$/);
  assert.match(say({ z: 45, formula: "naive" }), /infinity over infinity, not a number\.$/);
  assert.match(say({ z: -1 }), /^At z = −1 the slope of tanh is 0\.42;/);
});

test("where the curve alone is shown, the sentence leaves the floats out", () => {
  const lab = Object.create(DerivativeLab.prototype);
  const state = { z: 1, format: "float32", formula: "tanh" };
  lab.narrow(["z", "curve"]);
  assert.equal(lab.say(lab.compute(state), state), "At z = 1 the slope of tanh is 0.42.");
});
