// C = A·B for the network: WebAssembly with two float64 a vector where there is that, else plain.
//
// Rows of A and C are `stride` apart; B is packed (`pack`) into panels of four columns, each k × 4
// numbers side by side, so that both multiply down contiguous memory. A tile of C, four rows of one
// panel, is summed up in registers: that is what makes it fast. Both take the sums in one order, so
// that their results are equal to the last bit. In float32, which trains, a panel has eight columns.
(() => {
  const lab = (globalThis.mlpinitLab ??= {});
  const TILE = 4;
  const SINGLE = 8; // columns of a panel in float32

  // A number of columns or rows, rounded up to whole tiles.
  const padded = (n, tile = TILE) => Math.ceil(n / tile) * tile;

  // Fill `out`, padded(columns) × rows numbers, with the panels of a matrix given by entry(i, j).
  function pack(out, rows, columns, entry) {
    let at = 0;
    for (let panel = 0; panel < columns; panel += TILE) {
      for (let i = 0; i < rows; i++) {
        for (let j = panel; j < panel + TILE; j++) out[at++] = j < columns ? entry(i, j) : 0;
      }
    }
  }

  // The same in float32: sums are taken in float64 and rounded once.
  function plainSingle(memory) {
    const x = new Float32Array(memory.buffer);
    const sums = new Float64Array(SINGLE);
    return (a, b, c, rows, k, n, strideA, strideC) => {
      for (let j = 0; j < n; j += SINGLE) {
        const panel = (b >> 2) + j * k;
        for (let i = 0; i < rows; i++) {
          const row = (a + i * strideA) >> 2;
          sums.fill(0);
          for (let t = 0; t < k; t++) {
            for (let s = 0; s < SINGLE; s++) sums[s] += x[row + t] * x[panel + t * SINGLE + s];
          }
          x.set(sums, ((c + i * strideC) >> 2) + j);
        }
      }
    };
  }

  // a (rows, k) times packed b (k, n) into c (rows, n): float64 at these byte offsets of `memory`.
  function plain(memory) {
    const x = new Float64Array(memory.buffer);
    return (a, b, c, rows, k, n, strideA, strideC) => {
      for (let j = 0; j < n; j += TILE) {
        const panel = (b >> 3) + j * k;
        for (let i = 0; i < rows; i++) {
          const row = (a + i * strideA) >> 3;
          const out = ((c + i * strideC) >> 3) + j;
          let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
          for (let t = 0; t < k; t++) {
            const one = x[row + t], q = panel + t * TILE;
            s0 += one * x[q];
            s1 += one * x[q + 1];
            s2 += one * x[q + 2];
            s3 += one * x[q + 3];
          }
          x[out] = s0, x[out + 1] = s1, x[out + 2] = s2, x[out + 3] = s3;
        }
      }
    };
  }

  // The same in WebAssembly's binary format, put together from its instructions by name
  // (WebAssembly Core Specification 2.0, section 5).
  const I32 = 0x7f;
  const V128 = 0x7b;
  const op = {
    end: [0x0b], add: [0x6a], sub: [0x6b], mul: [0x6c], less: [0x48], // of i32
  };
  const FLOAT64 = {
    bytes: 8, columns: TILE, splat: [0x0a, 3], // v128.load64_splat
    vadd: [0xfd, 0xf0, 0x01], vmul: [0xfd, 0xf2, 0x01], // f64x2
  };
  const FLOAT32 = {
    bytes: 4, columns: SINGLE, splat: [0x09, 2], // v128.load32_splat
    vadd: [0xfd, 0xe4, 0x01], vmul: [0xfd, 0xe6, 0x01], // f32x4
  };
  const number = (n) => {
    const bytes = []; // LEB128, unsigned
    for (; n > 0x7f; n >>>= 7) bytes.push((n & 0x7f) | 0x80);
    return [...bytes, n];
  };
  const vector = (items) => [...number(items.length), ...items.flat()];
  const text = (word) => vector([...word].map((letter) => letter.charCodeAt(0)));
  const section = (id, ...items) => [id, ...vector(vector(items))];
  const get = (local) => [0x20, ...number(local)];
  const set = (local, ...value) => [...value.flat(), 0x21, ...number(local)];
  const constant = (n) => [0x41, ...number(n)]; // below 64
  const sum = (x, y) => [...x, ...y, ...op.add];
  const product = (x, y) => [...x, ...y, ...op.mul];
  const advance = (local, by) => set(local, sum(get(local), by));
  const load = (address, offset) => [...get(address), 0xfd, 0x00, 3, ...number(offset)];
  const store = (address, offset, value) => [...get(address), ...value, 0xfd, 0x0b, 3, offset];
  const zero = [0xfd, 0x0c, ...Array(16).fill(0)];
  // Do the body, and again while x < y.
  const loop = (body, x, y) => [
    0x03, 0x40, ...body.flat(), ...get(x), ...get(y), ...op.less, 0x0d, 0, ...op.end,
  ];

  function binary({ bytes, columns, splat: [load1, align], vadd, vmul }) {
    const splat = (address) => [...get(address), 0xfd, load1, align, 0]; // one number, repeated
    const [a, b, c, rows, k, n, strideA, strideC] = [0, 1, 2, 3, 4, 5, 6, 7];
    const [j, i, q, panelEnd, top] = [8, 9, 10, 11, 12]; // top: of the tile in A
    const [p, out] = [[13, 14, 15, 16], 17]; // a place in each row of A; in C
    const [left, right] = [18, 19]; // four numbers of B
    const sums = [20, 21, 22, 23, 24, 25, 26, 27]; // two a row
    const each = (f) => [0, 1, 2, 3].flatMap(f);
    const step = [
      set(left, load(q, 0)),
      set(right, load(q, 16)),
      ...each((r) => [left, right].map((half, s) =>
        set(sums[2 * r + s], get(sums[2 * r + s]), splat(p[r]), get(half), vmul, vadd))),
      ...each((r) => [advance(p[r], constant(bytes))]),
      advance(q, constant(32)),
    ];
    const tile = [
      set(q, get(b)),
      ...each((r) => [set(p[r], r ? sum(get(p[r - 1]), get(strideA)) : get(top))]),
      ...sums.map((one) => set(one, zero)),
      loop(step, q, panelEnd),
      ...each((r) => [
        store(out, 0, get(sums[2 * r])),
        store(out, 16, get(sums[2 * r + 1])),
        advance(out, get(strideC)),
      ]),
      set(top, get(p[3]), product(get(k), constant(bytes)), op.sub, get(strideA), op.add),
      advance(i, constant(TILE)),
    ];
    const panel = [
      set(panelEnd, sum(get(b), product(get(k), constant(32)))),
      set(i, constant(0)),
      set(top, get(a)),
      set(out, sum(get(c), product(get(j), constant(bytes)))),
      loop(tile, i, rows),
      set(b, get(panelEnd)),
      advance(j, constant(columns)),
    ];
    const locals = vector([[...number(10), I32], [...number(10), V128]]);
    const code = [...locals, ...loop(panel, j, n), ...op.end];
    return new Uint8Array([
      0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // "\0asm", version 1
      ...section(1, [0x60, ...vector(Array(8).fill(I32)), 0]), // the type: eight i32, no result
      ...section(2, [...text("js"), ...text("memory"), 0x02, 0, 0]), // imported
      ...section(3, [0]), // one function, of that type
      ...section(7, [...text("matmul"), 0, 0]), // exported
      ...section(10, vector(code)),
    ]);
  }

  const modules = new Map(); // of each float; null: there is none
  function compile(float) {
    try {
      const bytes = binary(float);
      return WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : null;
    } catch {
      return null; // no WebAssembly, or a page that forbids it
    }
  }

  // The fastest that there is, on this memory; `plainly` asks for the plain one.
  function matmul(memory, { plainly = false, single = false } = {}) {
    const float = single ? FLOAT32 : FLOAT64;
    if (!plainly && !modules.has(float)) modules.set(float, compile(float));
    const module = modules.get(float);
    if (plainly || !module) return single ? plainSingle(memory) : plain(memory);
    return new WebAssembly.Instance(module, { js: { memory } }).exports.matmul;
  }

  // Memory of at least that many bytes, as WebAssembly has it or an ordinary buffer.
  function memoryOf(bytes, memory) {
    if (memory?.buffer.byteLength >= bytes) return memory;
    const pages = (size) => Math.ceil(size / 0x10000);
    if (memory?.grow) memory.grow(pages(bytes - memory.buffer.byteLength));
    else if (globalThis.WebAssembly) return new WebAssembly.Memory({ initial: pages(bytes) });
    else return { buffer: new ArrayBuffer(bytes) };
    return memory;
  }

  Object.assign(lab, { matmul, memoryOf, pack, padded });
})();
