// Warm-ups: says what belongs to a reader's answer, from the explanations folded below the question.
(() => {
  const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

  const value = (text) => {
    const parts = text.split("/").map((part) => (NUMBER.test(part) ? Number(part) : NaN));
    return parts.length === 2 ? parts[0] / parts[1] : parts.length === 1 ? parts[0] : NaN;
  };

  // The numbers that a text may stand for: a comma marks a decimal, or thousands, or both do.
  const readings = (typed, unit) => {
    const bare = (text) => text.replace(/\s/g, "").replace(/[−–]/g, "-").toLowerCase();
    let text = bare(typed);
    if (unit && text.endsWith(bare(unit))) text = text.slice(0, -bare(unit).length);
    const point = text.lastIndexOf(",") > text.lastIndexOf(".")
      ? text.replaceAll(".", "").replace(",", ".") : text.replaceAll(",", "");
    const thousands = /^[+-]?\d{1,3}(,\d{3})+$/.test(text) ? [text.replaceAll(",", "")] : [];
    return [point, ...thousands].map(value).filter(Number.isFinite);
  };

  const explained = (form, numbers, within) => {
    const all = [...form.querySelectorAll(".answers > [data-value]")].flatMap((node) => {
      const at = Number(node.dataset.value);
      return numbers.map((one) => ({ node, off: Math.abs(one - at), slack: within + 1e-9 * Math.abs(at) }));
    }).filter(({ off, slack }) => off <= slack);
    const right = all.find(({ node }) => node.className === "right");
    return (right ?? all.sort((x, y) => x.off - y.off)[0])?.node;
  };

  // Words, and after them a copy of the explanation without what only the original may have.
  const say = (form, kind, words, node) => {
    const place = form.querySelector(".feedback");
    place.className = `feedback ${kind}`;
    const begin = document.createElement("strong");
    begin.textContent = words;
    const copies = node ? [...node.cloneNode(true).children].slice(1) : [];
    for (const copy of copies) {
      copy.querySelectorAll(".claim").forEach((mark) => mark.remove());
      [copy, ...copy.querySelectorAll("[id]")].forEach((one) => one.removeAttribute("id"));
    }
    if (copies[0]?.localName !== "p") copies.unshift(document.createElement("p"));
    copies[0].prepend(begin, " ");
    place.replaceChildren(...copies);
  };

  const check = (form) => {
    const { within, unit } = form.dataset;
    const chosen = form.querySelector(":checked");
    const typed = form.querySelector("[type=text]")?.value.trim();
    const numbers = typed === undefined ? (chosen ? [Number(chosen.value)] : []) : readings(typed, unit);
    if (!numbers.length) {
      const why = typed ? `“${typed}” is not a number: write one such as 24 or 0.5.` : "";
      return say(form, "", why || (typed === "" ? "Write a number first." : "Choose an answer first."));
    }
    const node = explained(form, numbers, Number(within ?? 0));
    if (!node) return say(form, "wrong", `Not that: ${typed}. Read the question once more, and try again.`);
    const wrong = typed ? `Not ${typed}.` : "Not that one.";
    return say(form, node.className, node.className === "right" ? "Right." : wrong, node);
  };

  for (const form of document.querySelectorAll("form.warm-up")) {
    form.querySelector("button").hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      check(form);
    });
    form.addEventListener("input", () => form.querySelector(".feedback").replaceChildren());
  }
})();
