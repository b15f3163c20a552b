// Names for screen readers, where the controls of trame-slicer have none: from what stands beside them.
(function () {
  const ICONS = {
    "mdi-video-3d": "3D on or off",
    "mdi-chevron-down": "Fold or unfold",
    "mdi-chevron-up": "Fold or unfold",
  };

  // The text before a control: the nearest of what stands above or to its left
  function before(control) {
    for (let one = control; one && !one.matches(".panel"); one = one.parentElement) {
      const label = one.querySelector?.(":scope > label, :scope > .v-label, :scope > .v-input__control .v-label");
      if (label?.innerText.trim()) return label.innerText.trim();
      for (let other = one.previousElementSibling; other; other = other.previousElementSibling) {
        if (!other.querySelector("input, button") && other.innerText?.trim()) return other.innerText.trim();
      }
    }
    return "";
  }

  function name() {
    const lacking = '[role=slider]:not([aria-label]):not([aria-labelledby]), input[role=slider]:not([aria-label])';
    for (const slider of document.querySelectorAll(lacking)) {
      const own = slider.closest(".v-slider[aria-label], .v-range-slider[aria-label]")?.ariaLabel;
      const icon = slider.closest(".v-input")?.querySelector(".v-input__prepend .mdi")?.className ?? "";
      const kind = icon.includes("mdi-video-2d") ? " in slices" : icon.includes("mdi-video-3d") ? " in 3D" : "";
      slider.setAttribute("aria-label", own || before(slider.closest(".v-input") ?? slider) + kind || "Value");
    }
    for (const button of document.querySelectorAll("button:not([aria-label])")) {
      if (button.innerText.trim() || button.title) continue;
      const icon = button.querySelector(".mdi")?.className.match(/mdi-[\w-]+/)?.[0] ?? "";
      const what = ICONS[icon];
      if (!what) continue;
      const title = icon.startsWith("mdi-chevron") ? button.closest(".v-card-item")?.innerText.trim() ?? "" : "";
      button.setAttribute("aria-label", `${what} ${title}`.trim());
    }
  }

  let due = false;
  new MutationObserver(() => {
    if (due) return;
    due = true;
    setTimeout(() => {
      due = false;
      name();
    }, 100);
  }).observe(document, { childList: true, subtree: true });
})();
