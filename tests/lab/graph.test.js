// The scalar graph against torch's autograd, at every step.
const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { test } = require("node:test");

for (const name of ["core", "draw", "graph"]) require(`../../mlpinit/lab/${name}.js`);
const { ARROWS, GraphLab, backward } = globalThis.mlpinitLab;
const values = JSON.parse(readFileSync(process.env.LAB_VALUES));
const LAST = ARROWS.length + 1;
const near = (ours, theirs) => assert.ok(Math.abs(ours - theirs) <= 1e-12, `${ours}, ${theirs}`);

test("at the last step every value and gradient is torch's", () => {
  for (const { state, expected, gradients } of values.graph) {
    const found = backward(state, LAST);
    for (const name of Object.keys(expected)) near(found.values[name], expected[name]);
    assert.deepEqual(Object.keys(found.gradients).sort(), Object.keys(gradients).sort());
    for (const name of Object.keys(gradients)) near(found.gradients[name], gradients[name]);
  }
});

test("each step takes one arrow, from a value whose gradient is complete", () => {
  const { state, gradients } = values.graph[0];
  for (let step = 0; step <= LAST; step++) {
    const { gradients: known, now } = backward(state, step);
    if (step < 2) {
      assert.equal(now, undefined);
      assert.deepEqual(known, step ? { h: 1 } : {});
    } else {
      near(known[now.to], gradients[now.to]);
      near(now.part, known[now.to] * now.slope);
    }
  }
});

test("the sentence names the arrow, and what is added up", () => {
  const lab = Object.create(GraphLab.prototype);
  const say = (step) => {
    const state = { x: 1.5, w1: -0.8, w2: 0.3, step };
    return lab.say(lab.compute(state), state);
  };
  assert.match(say(0), /^Forward: h = tanh\(−0\.75\) = −0\.635;/);
  assert.match(say(1), /gradient of h with respect to itself is 1/);
  assert.equal(
    say(LAST),
    "w₂x hands x its gradient times the local slope w₂: 0.597 × 0.3 = 0.179, " +
      "which is added to −0.477: −0.298 in all.",
  );
});
