// What the browser tests ask of an open page, from inside it. Findings are sentences that name the element.
window.inPage = {
  // Tag, id, classes and the first words: enough to find an element again.
  name(element) {
    const classes = [...element.classList].map((c) => `.${c}`).join("");
    const words = (element.getAttribute("aria-label") || element.textContent).trim().replace(/\s+/g, " ");
    const id = element.id ? `#${element.id}` : "";
    return `<${element.localName}${id}${classes}> "${words.slice(0, 40)}"`;
  },

  shown(element) {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && element.checkVisibility({ visibilityProperty: true });
  },

  // Open, or close, whatever the page folds: hidden cells, hints, solutions.
  fold(closed) {
    document.querySelectorAll("details").forEach((box) => (box.open = !closed));
    document.querySelectorAll("button.toggle-button").forEach((button) => {
      if (button.classList.contains("toggle-button-hidden") !== closed) button.click();
    });
  },

  // Whether every box that scrolls sideways is a stop of the Tab key.
  hasTabStops() {
    const boxes = document.querySelectorAll("pre, .cell_output > .output, .pst-scrollable-table-container");
    return [...boxes].every((box) => box.scrollWidth <= box.clientWidth || box.tabIndex >= 0);
  },

  formulas() {
    // A formula in what is not displayed yet, such as a definition that appears on hover, has no box.
    const found = [...document.querySelectorAll("main math")].filter((m) => m.checkVisibility());
    const raw = /\\\(|\\\[|\\(frac|sum|mathbb|sigma|partial|ldots|le|text)\b/;
    // The TeX that every formula carries beside its symbols is not shown.
    const drawn = (m) => {
      const copy = m.cloneNode(true);
      copy.querySelectorAll("annotation").forEach((tex) => tex.remove());
      return copy.textContent;
    };
    const unset = [...document.querySelectorAll(".math")].filter(
      (m) => raw.test(drawn(m)) || !(m.localName === "math" || m.querySelector("math"))
    );
    return {
      count: found.length,
      findings: [
        ...found.filter((m) => !this.shown(m)).map((m) => `empty formula ${this.name(m)}`),
        ...unset.map((m) => `formula not set ${this.name(m)}`),
      ],
    };
  },

  // Formulas in a line whose bracket or comma has come to stand on another.
  tornFormulas() {
    const accept = (node) => {
      if (node.parentElement.closest("math")) return NodeFilter.FILTER_REJECT;
      return node.length || node.localName === "math" ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_SKIP;
    };
    const shown = NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT;
    const walker = document.createTreeWalker(document.querySelector("main"), shown, accept);
    const pieces = [];
    while (walker.nextNode()) pieces.push(walker.currentNode);
    const box = (text, at) => {
      const range = document.createRange();
      range.setStart(text, at);
      range.setEnd(text, at + 1);
      return range.getBoundingClientRect();
    };
    return pieces.flatMap((formula, i) => {
      if (!formula.matches?.("span.math > math") || !this.shown(formula)) return [];
      const { left, right } = formula.getBoundingClientRect();
      const [before, after] = [pieces[i - 1], pieces[i + 1]];
      const opens = /[(\[“‘]$/.test(before?.data) && box(before, before.length - 1).right > left + 1;
      const closes = /^[,.;:!?)\]’”]/.test(after?.data) && box(after, 0).left < right - 1;
      return opens || closes ? [`torn from its ${opens ? "bracket" : after.data[0]} ${this.name(formula)}`] : [];
    });
  },

  // What sticks out of the page on the right, innermost boxes that scroll by themselves left out.
  sideways() {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    const scrolls = (e) => getComputedStyle(e).overflowX !== "visible";
    const out = [...document.body.querySelectorAll("*")].filter((element) => {
      if (element.getBoundingClientRect().right <= width + 1 || !this.shown(element)) return false;
      for (let box = element.parentElement; box !== document.body; box = box.parentElement)
        if (scrolls(box)) return false;
      return true;
    });
    const excess = document.documentElement.scrollWidth - width;
    return out.slice(0, 5).map((e) => `${excess} px too wide, ${this.name(e)}`).concat(
      out.length ? [] : [`${excess} px too wide`]
    );
  },

  // The colour that is painted behind an element.
  ground(element) {
    for (let box = element; box; box = box.parentElement) {
      const colour = getComputedStyle(box).backgroundColor;
      if (!/^rgba\(.*, 0\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  },

  isLight(colour) {
    const [r, g, b] = colour.match(/[\d.]+/g).map(Number);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 110;
  },

  picturesOnLight() {
    const pictures = [...document.querySelectorAll("main img, main svg")].filter((p) => this.shown(p));
    const light = pictures.filter((p) => this.isLight(this.ground(p)));
    return light.map((p) => `on ${this.ground(p)}: ${p.getAttribute("src") || this.name(p)}`);
  },

  // axe-core's time goes into thousands of coloured tokens. One of each look, by its own classes and
  // those around it, stands for all that share it: the others become plain text of the same width.
  mergeTokens() {
    const seen = new Set();
    document.querySelectorAll("pre span").forEach((token) => {
      const around = [];
      for (let box = token; box; box = box.parentElement)
        around.push(box.localName, box.className, box.getAttribute("style"));
      const look = around.join();
      if (token.childElementCount || token.id || !seen.has(look)) seen.add(look);
      else token.replaceWith(...token.childNodes);
    });
    document.querySelectorAll("pre").forEach((code) => code.normalize());
  },

  // All that decides whether text can be read where it stands: its letters, and what is painted behind them.
  look(element) {
    const { color, fontSize, fontWeight, textShadow } = getComputedStyle(element);
    const found = [color, fontSize, fontWeight, textShadow, this.ground(element)];
    for (let box = element; box; box = box.parentElement) {
      const { opacity, backgroundImage } = getComputedStyle(box);
      if (opacity !== "1" || backgroundImage !== "none") found.push(opacity, backgroundImage);
    }
    return found.join();
  },

  // Most of axe-core's time goes into the contrast of each text with what is behind it. Two texts of each look, in
  // each kind of element and part of the page, stand for the others, which are left out. What axe-core does not
  // judge, a single letter, stands for none that it does.
  textsOfEachLook() {
    const own = (e) => [...e.childNodes].map((n) => (n.nodeType === Node.TEXT_NODE ? n.data : "")).join("").trim();
    const found = { include: [], exclude: [] };
    const seen = new Map();
    for (const text of document.body.querySelectorAll("*")) {
      if (!own(text) || !this.shown(text)) continue;
      const around = ["main, nav, header, footer, aside, dialog", "a, button, label, math, pre"];
      const names = around.map((kinds) => text.closest(kinds)?.localName);
      const look = [...names, text.localName, /[\p{L}\d]{2}/u.test(own(text)), this.look(text)].join();
      seen.set(look, (seen.get(look) ?? 0) + 1);
      found[seen.get(look) > 2 ? "exclude" : "include"].push(text);
    }
    return found;
  },

  // What axe-core finds: by every rule, or by those alone that another colour scheme, which changes colours and
  // swaps pictures, can break.
  async violations(everyRule) {
    const contrast = ["color-contrast", "link-in-text-block"];
    const pictures = ["image-alt", "role-img-alt", "svg-img-alt"];
    const off = Object.fromEntries(contrast.map((rule) => [rule, { enabled: false }]));
    const only = (values) => ({ runOnly: { type: "rule", values } });
    const run = async (where, options) => {
      const results = await axe.run(where, { preload: false, ...options });
      const broken = results.incomplete.find(({ error }) => error);
      if (broken) throw new Error(`axe-core: ${broken.error.message}`);
      return results;
    };
    const results = [
      await run(this.textsOfEachLook(), only(contrast)),
      await run(document, everyRule ? { rules: off } : only(pictures)),
    ];
    return results
      .flatMap(({ violations }) => violations)
      .filter((violation) => ["serious", "critical"].includes(violation.impact))
      .flatMap((violation) =>
        violation.nodes.map((node) => {
          const why = [...node.any, ...node.all, ...node.none].map((check) => check.message);
          return `${violation.id}: ${node.target.flat().join(" ")} (${why.join("; ")})`;
        })
      );
  },

  focusMark(element) {
    const style = getComputedStyle(element);
    const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return { outline, shadow: style.boxShadow };
  },

  // Prepare to follow the focus from the top: which stops there are, and how each looks without it.
  async followFocus() {
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute("tabindex");
    scrollTo(0, 0);
    await new Promise((done) => setTimeout(done, 100)); // what comes and goes with scrolling does so
    const stops = "a[href], button, input, select, textarea, summary, [tabindex='0']";
    this.stops = [...document.querySelectorAll(stops)].filter((e) => this.shown(e) && !e.disabled);
    this.resting = new Map(this.stops.map((e) => [e, this.focusMark(e)]));
    this.visited = [];
    document.addEventListener("focusin", ({ target }) => {
      this.visited.push([target, this.focusMark(target)]);
    });
    return this.stops.length;
  },

  focusFindings() {
    const reached = new Map(this.visited);
    // Of radio buttons that belong together Tab visits one, and the arrow keys the others.
    const names = new Set([...reached.keys()].filter((e) => e.type === "radio").map((e) => e.name));
    const isReached = (e) => reached.has(e) || (e.type === "radio" && names.has(e.name));
    const marked = (element, { outline, shadow }) =>
      outline || (shadow !== "none" && shadow !== this.resting.get(element)?.shadow);
    return {
      first: this.visited.length ? this.name(this.visited[0][0]) : "nothing",
      unreached: this.stops.filter((e) => !isReached(e) && this.shown(e)).map((e) => this.name(e)),
      unmarked: [...reached].filter(([e, mark]) => !marked(e, mark)).map(([e]) => this.name(e)),
    };
  },
};
