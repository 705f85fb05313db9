// The random numbers of torch, in the order in which torch draws them on a CPU.
//
// MT19937 as published: M. Matsumoto and T. Nishimura, "Mersenne Twister: A 623-Dimensionally
// Equidistributed Uniform Pseudo-Random Number Generator", ACM TOMACS 8(1), 1998, with the
// initialisation of 2002. Normals by G. E. P. Box and M. E. Muller, Annals of Mathematical
// Statistics 29(2), 1958, on sixteen uniforms at a time, as torch.randn takes them.
(() => {
  const lab = (globalThis.mlpinitLab ??= {});
  const { fround } = Math;
  const SIZE = 624;
  const SHIFT = 397;

  class Twister {
    constructor(seed) {
      this.state = new Uint32Array(SIZE);
      this.state[0] = seed;
      for (let i = 1; i < SIZE; i++) {
        const last = this.state[i - 1];
        this.state[i] = Math.imul(1812433253, last ^ (last >>> 30)) + i;
      }
      this.next = SIZE;
    }

    // As Python's random.Random(key) begins, for a key below 2³².
    static python(key) {
      const twister = new Twister(19650218);
      const s = twister.state;
      const mixed = (i, by) => s[i] ^ Math.imul(s[i - 1] ^ (s[i - 1] >>> 30), by);
      let i = 1;
      const on = () => {
        if (++i === SIZE) [s[0], i] = [s[SIZE - 1], 1];
      };
      for (let k = SIZE; k; k--, on()) s[i] = mixed(i, 1664525) + key;
      for (let k = SIZE - 1; k; k--, on()) s[i] = mixed(i, 1566083941) - i;
      s[0] = 0x80000000;
      return twister;
    }

    // A whole number below n, as Python's random draws it.
    below(n) {
      const unused = Math.clz32(n);
      let drawn;
      do drawn = this.bits() >>> unused; while (drawn >= n);
      return drawn;
    }

    // The next 32 random bits.
    bits() {
      if (this.next === SIZE) this.twist();
      let y = this.state[this.next++];
      y ^= y >>> 11;
      y ^= (y << 7) & 0x9d2c5680;
      y ^= (y << 15) & 0xefc60000;
      return (y ^ (y >>> 18)) >>> 0;
    }

    twist() {
      const s = this.state;
      for (let i = 0; i < SIZE; i++) {
        const y = (s[i] & 0x80000000) | (s[(i + 1) % SIZE] & 0x7fffffff);
        s[i] = s[(i + SHIFT) % SIZE] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }

    // Uniform in [0, 1), with the 24 bits of a float32.
    uniform() {
      return (this.bits() & 0xffffff) / 0x1000000;
    }

    // `size` standard normals, at least 16: torch.randn(size, generator=...).
    normals(size) {
      const x = new Float64Array(size);
      for (let i = 0; i < size; i++) x[i] = this.uniform();
      for (let i = 0; i + 16 <= size; i += 16) boxMuller(x, i);
      if (size % 16) {
        for (let i = size - 16; i < size; i++) x[i] = this.uniform();
        boxMuller(x, size - 16);
      }
      return x;
    }
  }

  // Sixteen uniforms from x[start] on become normals, the eighth after each its partner. Rounded
  // to float32 where torch's own rounding matters: an angle is up to 2π, and its last digit shows.
  function boxMuller(x, start) {
    for (let i = start; i < start + 8; i++) {
      const radius = fround(Math.sqrt(fround(-2 * Math.log(1 - x[i]))));
      const angle = fround(fround(2 * Math.PI) * x[i + 8]);
      x[i] = fround(radius * fround(Math.cos(angle)));
      x[i + 8] = fround(radius * fround(Math.sin(angle)));
    }
  }

  lab.Twister = Twister;
})();
