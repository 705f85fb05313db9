// What every lab shares: native controls, a sentence, a table, its state in the page's address.
//
// A lab is a custom element around a line that stays where there is no JavaScript:
//
//   <mlp-init-lab id="init-lab-1" scale="0.2"><p>…</p></mlp-init-lab>
//
// Its class extends Lab with
//   static controls   [{name, label, type, value, …}], as `control` below makes them; where they
//                     are known late, an instance's own `controls`, set before it is connected
//   static pictures   [{name, label, ratio, part}], the canvases, with height / width; those of a
//                     `part` are named together
//   static facts      names of parts of the sentence that are no picture's
//   compute(state)    what the state leads to; no drawing
//   draw(result, state)   {name: (brush) => …}, what draws each picture that is in view
//   say(result, state)    one sentence, for everyone
//   rows(result, state)   [[heading, …], [cell, …], …], the numbers
//
// The attribute show="scale map dead" names what is shown of the controls, of the pictures and of the
// sentence; the other controls and pictures are folded. Where it names none of a kind, all are shown.
(() => {
  const lab = (globalThis.mlpinitLab ??= {});
  const Base = globalThis.HTMLElement ?? class {};
  const SETTLED = 300; // ms without a change, after which it is spoken and put into the address
  let made = 0;

  function element(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  // A native input with its label and its value in words. `spec`:
  //   {name, label, type: "range" | "number", min, max, step, value, words(value, state, lab)}
  //   {name, label, type: "select", options: [[value, words], …], value}
  //   {name, label, type: "checkbox", value: true | false}
  // A range's state is position(value) of its slider where that is given, with `at` as the inverse.
  // With idle(state) a control is off where it has no effect.
  function control(spec, id) {
    const { label, type, options, value } = spec;
    if (type === "select") {
      const input = element(
        "select",
        { id },
        ...options.map(([key, words]) => element("option", { value: key }, words)),
      );
      input.value = value;
      return { input, nodes: [element("label", { for: id }, label), input] };
    }
    if (type === "checkbox") {
      const input = element("input", { id, type, checked: value });
      return { input, nodes: [element("label", { for: id }, input, " ", label)] };
    }
    const { min, max, step } = spec;
    const input = element("input", { id, type, min, max, step });
    input.value = value;
    const words = element("output", { for: id });
    const told = type === "range" ? [words] : [];
    return { input, words, nodes: [element("label", { for: id }, label), input, ...told] };
  }

  class Lab extends Base {
    static controls = [];
    static pictures = [];
    static facts = [];

    connectedCallback() {
      if (this.state) return;
      this.id ||= `lab-${++made}`;
      this.state = this.first = this.defaults();
      this.narrow(this.getAttribute("show")?.split(/\s+/) ?? []);
      this.build();
      this.fromAddress();
      addEventListener("hashchange", () => this.fromAddress());
      new ResizeObserver(() => this.changed()).observe(this.desk);
      const repaint = new MutationObserver(() => this.changed());
      for (const node of [document.documentElement, document.body]) {
        repaint.observe(node, { attributeFilter: ["data-theme", "data-jp-theme-light", "class"] });
      }
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.changed());
      this.update();
      this.settle();
    }

    // Controls' values, each from the element's attribute of that name where there is one.
    defaults() {
      const state = {};
      for (const spec of specs(this)) {
        const given = this.getAttribute(spec.name);
        state[spec.name] = given === null ? spec.value : read(spec, given);
      }
      return state;
    }

    narrow(names) {
      const only = (all) => {
        const found = names.filter((name) => all.includes(name));
        return found.length ? found : undefined;
      };
      const pictures = this.constructor.pictures.map(partOf);
      this.narrowed = names.length > 0;
      this.shown = {
        controls: only(specs(this).map(({ name }) => name)),
        pictures: only(pictures),
        facts: only([...pictures, ...this.constructor.facts]),
      };
    }

    shows(kind, name) {
      return this.shown?.[kind]?.includes(name) ?? true;
    }

    // Whether the sentence tells what one of these shows, or counts.
    says(...names) {
      return names.some((name) => this.shows("facts", name));
    }

    // Whether it tells what one of these is set to: it is shown, or not as it was at first.
    tells(...names) {
      return names.some((name) =>
        this.shows("controls", name) || this.state[name] !== this.first[name]);
    }

    build() {
      for (const node of this.children) node.hidden = true;
      this.inputs = {};
      const form = element("form", { class: "lab-controls", "aria-label": this.title() });
      form.addEventListener("submit", (event) => event.preventDefault());
      const controls = specs(this).map((spec) => {
        const made = control({ ...spec, value: this.state[spec.name] }, `${this.id}-${spec.name}`);
        made.spec = spec;
        this.inputs[spec.name] = made;
        made.input.addEventListener("input", () => this.take(spec, made.input));
        return element("div", { class: `lab-control lab-${spec.type}` }, ...made.nodes);
      });
      form.append(...this.folded("controls", controls, specs(this).map(({ name }) => name)));
      this.canvases = {};
      const pictures = this.constructor.pictures.map(({ name, label, ratio }) => {
        const canvas = element("canvas", { role: "img", "aria-label": label });
        canvas.style.aspectRatio = String(1 / ratio);
        this.canvases[name] = canvas;
        return element("figure", { class: `lab-picture lab-picture-${name}` }, canvas,
          element("figcaption", {}, label));
      });
      this.sentence = element("p", { class: "lab-sentence" });
      this.live = element("p", { class: "lab-live", role: "status", "aria-live": "polite" });
      this.table = element("div", { class: "lab-table", tabindex: "0", role: "region",
        "aria-label": `Numbers of ${this.title()}` });
      this.numbers = element("details", {}, element("summary", {}, "The numbers"), this.table);
      this.numbers.addEventListener("toggle", () => this.tabulate());
      const again = element("button", { type: "button" }, "Start again");
      again.addEventListener("click", () => this.set(this.defaults()));
      form.append(again);
      this.desk = element("div", { class: "lab-desk" }, form,
        element("div", { class: "lab-pictures" }, ...this.folded("pictures", pictures,
          this.constructor.pictures.map(partOf))),
        this.sentence, this.live, this.numbers);
      // In JupyterLab a key is the notebook's, unless the very element with the focus asks for it.
      for (const node of this.desk.querySelectorAll("input, select, button, summary, [tabindex]")) {
        node.setAttribute("data-lm-suppress-shortcuts", "true");
      }
      this.append(this.desk);
    }

    // What is shown of a kind, and the rest in a box that opens.
    folded(kind, all, names) {
      const [open, rest] = [true, false].map((yes) =>
        all.filter((_, i) => this.shows(kind, names[i]) === yes));
      if (!rest.length) return open;
      const inside = element("div", { class: `lab-${kind}` }, ...rest);
      const more = element("details", { class: "lab-more" },
        element("summary", {}, `More ${kind}`), inside);
      more.addEventListener("toggle", () => this.changed());
      return [...open, more];
    }

    title() {
      return this.getAttribute("label") ?? this.constructor.title;
    }

    take(spec, input) {
      const raw = spec.type === "checkbox" ? String(input.checked) : input.value;
      const value = read(spec, spec.at ? String(spec.at(Number(raw))) : raw);
      if (value === undefined) return; // a number field that is empty or out of range
      this.move({ [spec.name]: value });
    }

    // Follow a hand: show at once, and say it when nothing changes any more.
    move(state) {
      this.state = { ...this.state, ...state };
      this.changed();
      clearTimeout(this.settling);
      this.settling = setTimeout(() => this.settle(true), SETTLED);
    }

    // Take over `state`, or the part of it that is given, as from the address.
    set(state) {
      this.state = { ...this.state, ...state };
      this.changed();
      this.settle(true);
    }

    changed() {
      if (this.waiting) return;
      this.waiting = requestAnimationFrame(() => {
        this.waiting = 0;
        this.update();
      });
    }

    // Everything that follows from the state, at once.
    update() {
      const { state } = this;
      for (const { spec, input, words } of Object.values(this.inputs)) {
        const value = state[spec.name];
        if (spec.idle) input.disabled = spec.idle(state);
        if (spec.type === "checkbox") input.checked = value;
        else if (document.activeElement !== input || spec.type === "range") {
          input.value = spec.position ? spec.position(value) : value;
        }
        if (words) {
          words.value = spec.words ? spec.words(value, state, this) : String(value);
          input.setAttribute("aria-valuetext", words.value);
        }
      }
      this.result = this.compute(state);
      for (const [name, draw] of Object.entries(this.draw(this.result, state))) {
        if (this.canvases[name].clientWidth) draw(this.brush(name));
      }
      this.sentence.textContent = this.say(this.result, state);
      this.tabulate();
    }

    // Once nothing changes any more: say it, and let the address lead here.
    settle(toAddress = false) {
      this.live.textContent = this.say(this.compute(this.state), this.state);
      if (toAddress) history.replaceState(null, "", this.address());
    }

    tabulate() {
      if (!this.numbers.open) return;
      const [head, ...rows] = this.rows(this.result, this.state);
      const line = (cells, tag) =>
        element("tr", {}, ...cells.map((cell, i) =>
          element(i && tag === "td" ? "td" : "th", { scope: tag === "th" ? "col" : i ? false : "row" },
            String(cell))));
      this.table.replaceChildren(element("table", {},
        element("thead", {}, line(head, "th")),
        element("tbody", {}, ...rows.map((row) => line(row, "td")))));
    }

    // "#init-lab:scale=0.2&depth=3": what is not as it was at first.
    address() {
      const first = this.defaults();
      const parts = Object.keys(first)
        .filter((name) => this.state[name] !== first[name])
        .map((name) => `${name}=${encodeURIComponent(this.state[name])}`);
      return `#${this.id}${parts.length ? `:${parts.join("&")}` : ""}`;
    }

    fromAddress() {
      const [id, query] = location.hash.slice(1).split(":");
      if (id !== this.id || query === undefined) return;
      const state = this.defaults();
      for (const [name, raw] of new URLSearchParams(query)) {
        const spec = specs(this).find((one) => one.name === name);
        const value = spec && read(spec, raw);
        if (value !== undefined) state[name] = value;
      }
      this.set(state);
      this.scrollIntoView({ block: "start" });
    }

    // A 2-d context with `width` and `height` in CSS pixels, and the page's colours by name.
    brush(name) {
      const canvas = this.canvases[name];
      const [width, height] = [canvas.clientWidth, canvas.clientHeight];
      const fine = globalThis.devicePixelRatio || 1;
      const [w, h] = [Math.round(width * fine), Math.round(height * fine)];
      if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
      const context = canvas.getContext("2d");
      context.setTransform(fine, 0, 0, fine, 0, 0);
      context.clearRect(0, 0, width, height);
      const style = getComputedStyle(this);
      context.font = `12px ${style.fontFamily}`;
      context.textBaseline = "middle";
      const color = (key) => style.getPropertyValue(`--lab-${key}`).trim();
      return { context, width, height, color };
    }
  }

  const specs = (one) => one.controls ?? one.constructor.controls;
  const partOf = ({ name, part }) => part ?? name;

  // A control's value from text, or undefined where it is none.
  function read(spec, text) {
    if (spec.type === "checkbox") return { true: true, false: false }[text];
    if (spec.type === "select") return spec.options.find(([key]) => key === text)?.[0];
    const value = Number(text);
    const [low, high] = spec.limits ?? [spec.min, spec.max];
    return text.trim() !== "" && value >= low && value <= high ? value : undefined;
  }

  Object.assign(lab, {
    Lab,
    element,
    define(name, kind) {
      if (globalThis.customElements && !customElements.get(name)) customElements.define(name, kind);
    },
  });
})();
