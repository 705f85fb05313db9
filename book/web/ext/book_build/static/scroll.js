// A formula wider than its box is reached, and scrolled, from the keyboard as well.
(() => {
  const observer = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  document.querySelectorAll("div.math > .formula").forEach((box) => observer.observe(box));
})();
