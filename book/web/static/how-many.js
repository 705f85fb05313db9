// The first page's slider: the more examples are looked at, the fewer neurons look dead.
//
//   <how-many figure="fig-home-maps" stops="1 2 … 194036" counts="119 89 … 0" rows="…" shares="…">
//     the counts as text, for where there is no JavaScript
//   </how-many>
//
// `rows` has the first examples, a bit for a neuron, and `shares` for each later stop a byte for a
// neuron: on how much of the examples it is saturated. Both are base64. The element draws over the
// picture of the figure that it names, which comes back in print.
customElements.define("how-many", class extends HTMLElement {
  connectedCallback() {
    const numbers = (name) => this.getAttribute(name).split(" ").map(Number);
    const bytes = (name) => Uint8Array.from(atob(this.getAttribute(name)), (c) => c.charCodeAt(0));
    const figure = document.getElementById(this.getAttribute("figure"));
    const picture = figure?.querySelector(".light-and-dark, img");
    if (!picture || this.slider) return;
    Object.assign(this, { stops: numbers("stops"), counts: numbers("counts") });
    Object.assign(this, { rows: bytes("rows"), shares: bytes("shares") });
    this.units = Number(this.getAttribute("units"));
    this.innerHTML = `<p><strong></strong> <span></span></p>
      <label for="how-many-examples">Examples looked at: <output></output></label>
      <input id="how-many-examples" type="range" min="0" max="${this.stops.length - 1}" value="0">`;
    const of = (selector) => this.querySelector(selector);
    Object.assign(this, { number: of("strong"), words: of("span"), told: of("output") });
    this.slider = of("input");
    this.canvas = document.createElement("canvas");
    this.canvas.className = "how-many-map";
    this.canvas.setAttribute("role", "img");
    picture.classList.add("how-many-still");
    picture.after(this.canvas);
    this.slider.addEventListener("input", () => this.show(Number(this.slider.value)));
    this.show(0);
  }

  show(at) {
    const [n, count, last] = [this.stops[at], this.counts[at], this.stops.length - 1];
    const examples = `${at === last ? "all " : ""}${n.toLocaleString("en")}`;
    const still = at === 0 ? "" : "still ";
    const words = at === last
      ? `of ${this.units} neurons are dead.`
      : `of ${this.units} neurons ${still}look dead.`;
    this.number.textContent = count;
    this.words.textContent = words;
    const greys = n > (this.rows.length * 8) / this.units;
    this.told.value = greys ? `${examples} (the lighter, the more often stuck)` : examples;
    this.slider.setAttribute("aria-valuetext", `${examples}: ${count} ${words}`);
    this.canvas.setAttribute("aria-label",
      `${this.units} neurons across, ${examples} example${n > 1 ? "s" : ""} down: ${count} columns are white all the way.`);
    this.draw(at, n);
  }

  // Every example a line as wide as the map is high over their number; where there are too many for
  // that, a column is as light as the part of them that is white.
  draw(at, n) {
    const { units, rows, shares, canvas } = this;
    const drawn = (rows.length * 8) / units;
    const single = n <= drawn;
    const first = this.stops.findIndex((stop) => stop > drawn);
    Object.assign(canvas, { width: units, height: single ? n : 1 });
    const ink = canvas.getContext("2d");
    const image = ink.createImageData(units, canvas.height);
    const white = (row, unit) => {
      const bit = row * units + unit;
      return (rows[bit >> 3] >> (7 - (bit & 7))) & 1;
    };
    for (let unit = 0; unit < units; unit++) {
      let always = single;
      for (let row = 0; always && row < n; row++) always = white(row, unit) === 1;
      for (let row = 0; row < canvas.height; row++) {
        const light = single ? 255 * white(row, unit) : shares[(at - first) * units + unit];
        image.data.set(always ? [255, 176, 64, 255] : [light, light, light, 255], 4 * (row * units + unit));
      }
    }
    ink.putImageData(image, 0, 0);
  }
});
