"""The surnames for the playground: one string that a page unpacks, half as long as the list.

The letters are coded by a range coder with the counts of what followed the last one, two and three
letters so far, weighted 1, 4 and 32: the model of chapter 1, learned by both sides as they go.
`python -m mlpinit.lab.words` writes `words.js` anew.

Source of the coder: G. N. N. Martin, "Range encoding" (1979), in its carry-less form.
"""

from __future__ import annotations

import base64
from pathlib import Path

from mlpinit import corpus

__all__ = ["SCRIPT", "encode", "script"]

SCRIPT = Path(__file__).with_name("words.js")
SYMBOLS = 27
TOP, BOTTOM, WHOLE = 1 << 40, 1 << 32, 1 << 48
DECODER = """\
// Made by `python -m mlpinit.lab.words`: the surnames, coded by what followed their last letters.
(() => {
  const lab = (globalThis.mlpinitLab ??= {});

  // The words of a text that `words.py` has made. It uses nothing from outside, so that a worker
  // can be given it.
  lab.unpackWords = function (base64, n) {
    const [SYMBOLS, TOP, BOTTOM, WHOLE] = [27, 2 ** 40, 2 ** 32, 2 ** 48];
    const bytes = atob(base64);
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

  lab.packedWords = { n: COUNT, text: "TEXT" };
})();
"""


def encode(words: tuple[str, ...]) -> bytes:
    """Words of the letters a to z as bytes that the script's `decode` turns back into them."""
    counts = [[0] * SYMBOLS ** (order + 1) for order in (1, 2, 3)]
    low, whole, out = 0, WHOLE - 1, bytearray()
    for word in words:
        places = [0, 0, 0]
        for symbol in [*(ord(letter) - 96 for letter in word), 0]:
            a, b, c = (place * SYMBOLS for place in places)
            frequencies = [
                1 + (counts[0][a + s] >> 3) + 4 * counts[1][b + s] + 32 * counts[2][c + s]
                for s in range(SYMBOLS)
            ]
            whole //= sum(frequencies)
            low += sum(frequencies[:symbol]) * whole
            whole *= frequencies[symbol]
            while True:
                if low // TOP != (low + whole) // TOP:
                    if whole >= BOTTOM:
                        break
                    whole = BOTTOM - low % BOTTOM
                out.append(low // TOP)
                low, whole = low % TOP * 256, whole * 256
            for k, place in enumerate(places):
                counts[k][place * SYMBOLS + symbol] += 1
                places[k] = (place * SYMBOLS + symbol) % SYMBOLS ** (k + 1)
    for _ in range(6):
        out.append(low // TOP)
        low = low % TOP * 256
    return bytes(out)


def script() -> str:
    """The text of `words.js`: a classic script that gives the surnames to the playground."""
    words = corpus.load().words
    text = base64.b64encode(encode(words)).decode()
    return DECODER.replace("COUNT", str(len(words))).replace("TEXT", text)


if __name__ == "__main__":
    SCRIPT.write_text(script(), encoding="utf-8")
