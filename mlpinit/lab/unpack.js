// What `words.py` has packed, unpacked: the range coder's other side, with the counts of what followed
// the last one, two and three letters so far.
(() => {
  const lab = (globalThis.mlpinitLab ??= {});

  const [SYMBOLS, TOP, BOTTOM, WHOLE] = [27, 2 ** 40, 2 ** 32, 2 ** 48];

  // The n words of a text that `words.py` has packed.
  lab.unpackWords = ({ text, n }) => {
    const bytes = atob(text);
    const counts = [1, 2, 3].map((order) => new Uint32Array(SYMBOLS ** (order + 1)));
    const places = [0, 0, 0];
    let [at, low, range, code] = [0, 0, WHOLE - 1, 0];
    const read = () => {
      code = (code % TOP) * 256 + (at < bytes.length ? bytes.charCodeAt(at) : 0);
      at++;
    };
    for (let i = 0; i < 6; i++) read();
    const next = () => {
      const [a, b, c] = places.map((place) => place * SYMBOLS);
      let total = 0;
      const [one, two, three] = counts;
      const frequency = (s) => 1 + (one[a + s] >> 3) + 4 * two[b + s] + 32 * three[c + s];
      for (let s = 0; s < SYMBOLS; s++) total += frequency(s);
      range = Math.floor(range / total);
      const target = Math.floor((code - low) / range);
      let symbol = 0;
      let below = 0;
      for (let f; below + (f = frequency(symbol)) <= target; symbol++) below += f;
      low += below * range;
      range *= frequency(symbol);
      for (;;) {
        if (Math.floor(low / TOP) !== Math.floor((low + range) / TOP)) {
          if (range >= BOTTOM) break;
          range = BOTTOM - (low % BOTTOM);
        }
        read();
        low = (low % TOP) * 256;
        range *= 256;
      }
      counts.forEach((one, k) => {
        one[places[k] * SYMBOLS + symbol]++;
        places[k] = (places[k] * SYMBOLS + symbol) % SYMBOLS ** (k + 1);
      });
      return symbol;
    };
    return Array.from({ length: n }, () => {
      places.fill(0);
      let word = "";
      for (let s; (s = next()); ) word += String.fromCharCode(96 + s);
      return word;
    });
  };
})();
