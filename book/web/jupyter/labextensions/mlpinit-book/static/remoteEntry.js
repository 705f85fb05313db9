// What the book's pages have and JupyterLab's MyST extension does not know: numbers glued by the cells,
// captions, references to other chapters, citations, warm-ups, graded exercises. Only what is shown is changed,
// never the notebook. JupyterLab loads this file as it is; nothing has to be compiled.
"use strict";

(() => {
  const WAITING = "\u2026";
  const GLUE = /\{glue:text\}`([^`]+)`/g;
  const STYLE = `
    .book-waiting { opacity: 0.6; cursor: help; }
    .book-reference { color: var(--jp-content-link-color); cursor: pointer; }
    .book-reference:hover, .book-reference:focus { text-decoration: underline; }
    .book-caption { margin: 0.5em 0 1em calc(var(--jp-cell-prompt-width) + 1.2em); max-width: 45em; }
    .book-graded { pointer-events: none; box-shadow: none !important; }
    .book-graded > summary { background: none !important; border: none !important; }
    .book-graded > summary > :not(.myst-exercise-title) { display: none; }`;

  // Of the whole book, read by the server from its sources: where each label stands, what is cited.
  function readBook() {
    const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
    return config.book ?? { labels: {}, citations: {}, warmUps: {} };
  }

  // The last text in an element, the part that is the MyST extension's word for what it did not find.
  function lastText(element) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    return texts.at(-1);
  }

  function write(text, words) {
    if (text.data !== words) text.data = words;
  }

  // What the cells run so far have glued, by name. The value is stored as Python prints a string.
  function gluedValues(cells) {
    const values = new Map();
    for (const cell of cells) {
      for (const output of cell.outputs ?? []) {
        const name = output.metadata?.scrapbook?.name;
        const value = output.data?.["application/papermill.record/text/plain"];
        if (name && value) values.set(name, value.slice(1, -1));
      }
    }
    return values;
  }

  class Chapter {
    constructor(app, panel, book) {
      Object.assign(this, { app, panel, book, captions: new Map(), asked: false });
      panel.content.model.contentChanged.connect(() => this.ask());
      new MutationObserver(() => this.ask()).observe(panel.content.node, {
        childList: true,
        subtree: true,
      });
      this.ask();
    }

    // Once for any number of changes; for a tab in the background too, where no frame is drawn.
    ask() {
      if (this.asked) return;
      this.asked = true;
      setTimeout(() => {
        this.asked = false;
        if (!this.panel.isDisposed) this.show();
      }, 50);
    }

    show() {
      const widgets = this.panel.content.widgets;
      const cells = widgets.map((widget) => widget.model.toJSON());
      this.values = gluedValues(cells);
      this.figures = widgets.filter((_, i) => cells[i].metadata.mystnb?.figure?.name);
      cells.forEach((cell, i) => {
        if (cell.cell_type === "markdown") this.showText(widgets[i].node, cell.source);
        else if (cell.metadata.mystnb?.figure) this.showCaption(widgets[i], cell.metadata.mystnb);
      });
    }

    showText(node, source) {
      const names = new Set([...source.matchAll(GLUE)].map((match) => match[1]));
      for (const span of node.querySelectorAll("span:not([class]):not([title]), span[data-glue]")) {
        const text = span.firstChild;
        if (text?.nodeType !== Node.TEXT_NODE || span.childNodes.length > 1) continue;
        if (!span.dataset.glue && names.has(text.data)) span.dataset.glue = text.data;
        if (span.dataset.glue) this.showValue(span, text);
      }
      for (const span of node.querySelectorAll('span[title$=" Not Found"], [data-label]')) {
        this.showReference(span);
      }
      const numbers = [...source.matchAll(/^:{3,}\{graded\} ([\d.]+)/gm)].map((match) => match[1]);
      [...node.querySelectorAll("details.myst-exercise")]
        .filter((box) => box.dataset.graded || box.querySelector("code")?.textContent === "graded")
        .forEach((box, i) => this.showGraded(box, numbers[i]));
      for (const box of node.querySelectorAll("details:has(> summary code):has(pre)")) {
        if (box.querySelector("summary code").textContent === "warm-up") this.showWarmUp(box);
      }
      for (const left of node.querySelectorAll(":not(details[hidden]) + .book-warm-up, .book-warm-up:first-child")) {
        left.remove(); // the extension has drawn the cell anew
      }
    }

    // The question and the folded answer, in the place of the YAML that the extension shows.
    showWarmUp(box) {
      const known = this.book.warmUps?.[box.querySelector("pre").textContent.trim()];
      const after = box.nextElementSibling;
      const place = after?.classList.contains("book-warm-up") ? after : document.createElement("div");
      box.hidden = known !== undefined;
      place.hidden = !box.hidden;
      if (!known) return;
      place.className = "book-warm-up";
      if (!place.isConnected) box.after(place);
      this.render(place, this.written(known, place));
    }

    showValue(span, text) {
      const value = this.values.get(span.dataset.glue);
      write(text, value ?? WAITING);
      span.classList.toggle("book-waiting", value === undefined);
      span.title = value === undefined ? "Computed by a cell: choose Run, Run All Cells" : "";
    }

    showReference(span) {
      const text = lastText(span);
      if (!text) return;
      if (!span.dataset.label) {
        const label = text.data;
        const known = this.reference(label) ?? this.citation(label, span);
        if (!known) return;
        span.dataset.label = label;
        span.removeAttribute("title");
        span.classList.remove("text-yellow-600");
        span.querySelector("svg")?.style.setProperty("display", "none");
        if (known.go) {
          span.classList.add("book-reference");
          span.setAttribute("role", "link");
          span.tabIndex = 0;
          span.onclick = known.go;
          span.onkeydown = (event) => event.key === "Enter" && known.go();
        }
      }
      const shown = this.reference(span.dataset.label) ?? this.citation(span.dataset.label, span);
      if (shown) write(text, shown.words);
    }

    // A figure of this notebook, or anything labelled in another chapter.
    reference(label) {
      const at = this.figures.findIndex(
        (widget) => widget.model.getMetadata("mystnb").figure.name === label,
      );
      if (at >= 0) {
        const go = () => this.figures[at].node.scrollIntoView({ block: "center" });
        return { words: `Fig. ${at + 1}`, go };
      }
      const found = this.book.labels[label];
      if (!found) return undefined;
      const [path, words] = found;
      return { words, go: () => this.open(path) };
    }

    citation(key, span) {
      const found = this.book.citations[key];
      if (!found) return undefined;
      const [authors, year] = found;
      if (!year) return { words: authors };
      const narrative = span.closest(".cite-group.narrative");
      return { words: narrative ? `${authors} (${year})` : `${authors}, ${year}` };
    }

    // Paths of the book are counted from its folder; the server's own folder may be above that.
    open(path) {
      const here = this.panel.context.path;
      const ours = Object.values(this.book.labels).map(([known]) => known);
      const tail = ours.find((known) => here === known || here.endsWith(`/${known}`)) ?? here;
      this.app.commands.execute("docmanager:open", { path: here.slice(0, -tail.length) + path });
    }

    showGraded(box, number) {
      box.dataset.graded = number;
      box.classList.add("book-graded");
      const title = box.querySelector(".myst-exercise-title");
      write(title.querySelector("code").firstChild, `check("${number}", your_function)`);
      write(lastText(title), " in a cell grades it; the hints are on the book's page");
    }

    // The caption, as the page has it, under what the cell draws; and the picture's description.
    showCaption(widget, { figure, image }) {
      const fill = (text, pattern) => text.replace(pattern, (_, name) => this.values.get(name) ?? WAITING);
      const picture = widget.node.querySelector(".jp-RenderedSVG img, .jp-RenderedImage img");
      if (picture && image?.alt) picture.alt = fill(image.alt, /\{([\w.-]+)\}/g);

      const box = this.captions.get(widget) ?? document.createElement("div");
      this.captions.set(widget, box);
      box.hidden = picture === null;
      if (!box.isConnected) {
        box.className = "book-caption";
        widget.node.append(box);
      }
      const number = this.figures.indexOf(widget) + 1;
      const words = this.written(figure.caption ?? "", box);
      this.render(box, number ? `**Fig. ${number}** ${words}` : words);
    }

    // A text with its glued numbers, references and citations in words.
    written(text, box) {
      return text
        .replace(GLUE, (_, name) => this.values.get(name) ?? WAITING)
        .replace(/\{claim\}`[^`]+`/g, "")
        .replace(
          /\{(?:numref|ref|eq|cite:[tp])\}`([^`]+)`/g,
          (role, label) => this.reference(label)?.words ?? this.citation(label, box)?.words ?? role,
        );
    }

    render(box, source) {
      if (box.dataset.source === source) return;
      box.dataset.source = source;
      const { rendermime } = this.panel.content;
      const model = rendermime.createModel({ data: { "text/markdown": source }, trusted: true });
      const renderer = rendermime.createRenderer("text/markdown");
      renderer.renderModel(model).then(() => box.replaceChildren(renderer.node));
    }
  }

  const plugin = {
    id: "mlpinit-book:chapters",
    description: "Shows in a chapter's notebook what the book's page shows.",
    autoStart: true,
    activate(app) {
      const style = document.createElement("style");
      style.textContent = STYLE;
      document.head.append(style);
      const book = readBook();
      const seen = new WeakSet();
      const look = () => {
        for (const panel of app.shell.widgets("main")) {
          const chapter = panel.context?.path?.endsWith(".md") && panel.sessionContext;
          if (!chapter || seen.has(panel)) continue;
          seen.add(panel);
          panel.context.ready.then(() => new Chapter(app, panel, book));
        }
      };
      app.shell.layoutModified?.connect(look);
      app.restored.then(look);
    },
  };

  window._JUPYTERLAB ??= {};
  window._JUPYTERLAB["mlpinit-book"] = {
    init() {},
    get: async () => () => ({ __esModule: true, default: plugin }),
  };
})();
