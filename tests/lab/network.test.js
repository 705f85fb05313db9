// The network of the init lab against the values that network_values.py wrote (LAB_VALUES).
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");

for (const name of ["random", "matmul", "batch", "network"]) {
  require(`../../mlpinit/lab/${name}.js`);
}
const lab = globalThis.mlpinitLab;
const file = process.env.LAB_VALUES;
const { cases, functions } = JSON.parse(fs.readFileSync(file, "utf8"));
const bytes = fs.readFileSync(path.join(path.dirname(file), "values.bin"));
const numbers = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
const array = ([first, length]) => numbers.subarray(first, first + length);
const TOLERANCE = 1e-5;
const worst = {};

// The largest difference, over the largest number there is or 1 where `least` says so.
function near(kind, found, wanted, told, least = 0) {
  let most = least;
  let difference = 0;
  for (let i = 0; i < wanted.length; i++) {
    most = Math.max(most, Math.abs(wanted[i]));
    difference = Math.max(difference, Math.abs(found[i] - wanted[i]) || 0);
    if (!Number.isFinite(found[i])) difference = Infinity;
  }
  const part = most ? difference / most : difference;
  worst[kind] = Math.max(worst[kind] ?? 0, part);
  assert.ok(part <= TOLERANCE, `${kind}: ${part} ${JSON.stringify(told)}`);
}

// The entries of a layer without the padding.
function dense(layer, width) {
  const stride = lab.padded(width);
  return Float64Array.from({ length: 32 * width }, (_, i) =>
    layer[((i / width) | 0) * stride + (i % width)]);
}

function ran(one, options, draws) {
  const network = new lab.Network(lab.batch, options);
  network.set(one.form, draws);
  return [network, again(network, one)];
}

const again = (network, { activation, scale, bias }) =>
  network.run({ activation, scale: () => scale, bias });

const drawsOf = ({ draws }) => ({
  C: array(draws.C), W: draws.W.map(array), b: draws.b.map(array),
});

const tell = ({ form, activation, scale, bias }) => ({ ...form, activation, scale, bias });

function compare(kind, one, network, { layers, loss }) {
  const { width } = one.form;
  const told = tell(one);
  near(`${kind}: loss`, [loss], [one.loss], told, 1);
  layers.forEach((layer, l) => {
    near(`${kind}: z`, dense(network.z[l], width), array(one.z[l]), told);
    near(`${kind}: h`, dense(network.h[l], width), array(one.h[l]), told);
    near(`${kind}: gradient`, dense(network.dz[l], width), array(one.dz[l]), told);
    for (const name of ["stdZ", "stdH", "gradient"]) {
      near(`${kind}: size`, [layer[name]], [one[name][l]], told);
    }
  });
}

const counts = ({ saturated, soft, hard }) => [saturated, soft, hard];
const tame = ({ form, scale }) => form.depth === 1 || form.normalize || scale < 1;

test("the draws are torch's", () => {
  const forms = new Map(cases.map((one) => [JSON.stringify(one.form), one]));
  for (const one of forms.values()) {
    const [own, torch] = [lab.draw(one.form), drawsOf(one)];
    near("draws", own.C, torch.C, one.form);
    torch.W.forEach((W, l) => near("draws", own.W[l], W, one.form));
    torch.b.forEach((b, l) => near("draws", own.b[l], b, one.form));
  }
});

function counted(one, { layers }, wanted) {
  layers.forEach((layer, l) => assert.deepEqual(counts(layer), wanted[l],
    JSON.stringify({ ...tell(one), layer: l })));
}

test("numbers, gradients, the loss and float32's counts, on torch's draws, over the whole grid", () => {
  for (const one of cases) {
    const [network, found] = ran(one, {}, drawsOf(one));
    compare("on torch's draws", one, network, found);
    counted(one, found, one.counts);
  }
});

// Where layers amplify every difference, those of the draws' last digits grow as well.
test("the same on the lab's own draws where no layer is chaotic; counts of float32 throughout", () => {
  assert.ok(cases.filter(tame).length > cases.length / 2);
  for (const one of cases.filter((one) => tame(one) || one.form.depth < 10)) {
    const [network, found] = ran(one);
    if (tame(one)) compare("on its own draws", one, network, found);
    if (one.form.depth < 10) counted(one, found, one.counts32);
  }
});

test("the grid has saturated entries, soft-dead and hard-dead units", () => {
  for (const which of [0, 1, 2]) {
    assert.ok(cases.some((one) => one.counts.some((found) => found[which] > 0)));
  }
});

test("the mask has as many cells as are counted", () => {
  const [network, { layers }] = ran(cases[0]);
  layers.forEach(({ saturated }, l) =>
    assert.equal(network.flat[l].reduce((x, y) => x + y), saturated));
});

test("WebAssembly and the plain loop give the same bits", () => {
  assert.match(String(lab.matmul(lab.memoryOf(8))), /native code/, "WebAssembly is tested at all");
  for (const one of cases.filter((_, i) => i % 7 === 0)) {
    const [fast, slow] = [ran(one), ran(one, { plainly: true })];
    assert.deepEqual(fast[1], slow[1]);
    for (const name of ["z", "h", "dz"]) assert.deepEqual(fast[0][name], slow[0][name]);
  }
});

test("a network that is set anew is as a fresh one, larger or smaller", () => {
  const network = new lab.Network(lab.batch);
  for (const one of [cases[0], cases.at(-1), cases[0]]) {
    network.set(one.form);
    assert.deepEqual(again(network, one), ran(one)[1]);
  }
});

test("every activation, its slope, and where float32 has it flat or 0", () => {
  const z = array(functions.z);
  assert.deepEqual(Object.keys(lab.activations), Object.keys(functions.of));
  for (const [name, wanted] of Object.entries(functions.of)) {
    const { f, slope, slope32, most } = lab.activations[name];
    near("largest slope", [most], [wanted.most], name);
    const h = z.map((one) => f(one));
    const slopes = z.map((one, i) => slope(one, h[i]));
    near("h", h, array(wanted.h), name, 1);
    near("slope", slopes, array(wanted.slope), name, 1);
    const single = z.map((one, i) => Math.abs(slope32(Math.fround(one), h[i], slopes[i])));
    const cut = Math.fround(0.02 * most);
    assert.deepEqual(single.map((one) => Number(one === 0)), array(wanted.zero), `${name}: 0`);
    assert.deepEqual(single.map((one) => Number(one < cut)), array(wanted.flat), `${name}: flat`);
  }
});

test.after(() => console.log(`largest differences: ${JSON.stringify(worst)}`));
