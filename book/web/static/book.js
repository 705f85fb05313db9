// What a style sheet cannot do; every page is whole without it.
(() => {
  // A box that scrolls can be reached and scrolled by keyboard.
  const BOXES = ".bd-content :is(pre, table, .output, .formula, .light-and-dark, .pst-scrollable-table-container)";
  const overflows = (box) => box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX !== "visible";
  const reachable = () => {
    for (const box of document.querySelectorAll(BOXES)) {
      const scrolls = overflows(box);
      // The theme gives -1 to what does not scroll, and 0 only some time after it does.
      if (scrolls && box.tabIndex < 0) {
        box.tabIndex = 0;
        box.dataset.scrolls = "";
        if (!/^(TABLE|PRE)$/.test(box.tagName)) box.setAttribute("role", "group");
      } else if (!scrolls && "scrolls" in box.dataset) {
        box.removeAttribute("tabindex");
        box.removeAttribute("role");
        delete box.dataset.scrolls;
      }
      sign(box);
    }
  };

  // Such a box fades where it goes on, and says to who cannot see it that it scrolls.
  const told = "This box scrolls sideways.";
  const sign = (box) => {
    const scrolls = overflows(box);
    const rest = box.scrollWidth - box.clientWidth - box.scrollLeft;
    box.classList.toggle("more-before", scrolls && box.scrollLeft > 1);
    box.classList.toggle("more-after", scrolls && rest > 1);
    if (scrolls && !box.hasAttribute("aria-description")) box.setAttribute("aria-description", told);
    else if (!scrolls && box.getAttribute("aria-description") === told) box.removeAttribute("aria-description");
  };
  const scrolled = (event) => event.target.matches?.(BOXES) && sign(event.target);
  document.addEventListener("scroll", scrolled, { capture: true, passive: true });
  addEventListener("load", reachable);
  addEventListener("resize", reachable);
  document.addEventListener("toggle", reachable, true);

  // A definition, or how a claim is known, stays inside the page; Escape puts it away.
  const card = (event) => event.target.closest?.(".term, .claim");
  const place = (event) => {
    const tip = card(event)?.querySelector("[role=tooltip]");
    if (!tip) return;
    tip.style.translate = "";
    const over = tip.getBoundingClientRect().right - document.documentElement.clientWidth + 12;
    if (over > 0) tip.style.translate = `${-over}px`;
  };
  for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, place);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const term of document.querySelectorAll(":is(.term, .claim):is(:hover, :focus-within)")) {
      term.dataset.put = "away";
      const back = () => delete term.dataset.put;
      term.addEventListener("pointerleave", back, { once: true });
      term.addEventListener("focusout", back, { once: true });
    }
  });

  // The sidebar, outside every landmark in the theme, is one.
  const sidebar = document.getElementById("pst-primary-sidebar");
  sidebar?.setAttribute("role", "complementary");
  sidebar?.setAttribute("aria-label", "The book");
})();
