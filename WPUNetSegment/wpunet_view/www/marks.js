// Rulers and round regions: drawn here while the hand moves, kept and measured by the session.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const CLOSE = 0.51; // slices: a mark is shown in the slice that it was drawn in
  let drawing = null; // { view, kind, at, a, b }: what the hand draws or changes now; a and b in pixels
  // Once it is sent it stays until the session's answer is there: ``sent`` are the marks from before

  const state = (name) => window.trame?.state?.state?.[name];
  const marks = () => state("PageState__marks") ?? [];
  const cell = (view) => document.querySelector(`[data-view="${view}"]`);

  // A view's geometry: RAS mm to pixels of the page from the view's upper left corner, and back
  function geometry(view) {
    const given = state(`over_${view}__ViewState__geometry`);
    const here = cell(view);
    if (!given?.length || !here) return null;
    const [m, width, height] = [given.slice(0, 16), given[16], given[17]];
    const scale = [here.clientWidth / width, here.clientHeight / height];
    const inverse = invert(m);
    const apply = (n, x, y, z) => [0, 4, 8].map((k) => n[k] * x + n[k + 1] * y + n[k + 2] * z + n[k + 3]);
    return {
      out([r, a, s]) {
        const [x, y, z] = apply(m, r, a, s);
        return [x * scale[0], here.clientHeight - y * scale[1], z];
      },
      back(x, y) {
        return apply(inverse, x / scale[0], (here.clientHeight - y) / scale[1], 0);
      },
    };
  }

  // Of a matrix of rotation, scale and place; 4 x 4, row after row
  function invert(m) {
    const [a, b, c, p, d, e, f, q, g, h, i, r] = m;
    const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
    const n = [e * i - f * h, c * h - b * i, b * f - c * e, f * g - d * i, a * i - c * g, c * d - a * f, d * h - e * g, b * g - a * h, a * e - b * d].map((v) => v / det);
    const row = (k) => [n[k], n[k + 1], n[k + 2], -(n[k] * p + n[k + 1] * q + n[k + 2] * r)];
    return [...row(0), ...row(3), ...row(6)];
  }

  function element(name, attributes, parent) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.appendChild(made);
    return made;
  }

  function one(svg, kind, a, b, text, at) {
    const group = element("g", { "data-at": at }, svg);
    const radius = Math.hypot(b[0] - a[0], b[1] - a[1]);
    if (kind === "ruler") element("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }, group);
    else element("circle", { cx: a[0], cy: a[1], r: radius, class: "round" }, group);
    for (const [end, [x, y]] of Object.entries({ a, b })) {
      element("circle", { cx: x, cy: y, r: 12, class: "grip", "data-end": end }, group);
      element("circle", { cx: x, cy: y, r: 3, class: "dot" }, group);
    }
    const right = kind === "ruler" ? Math.max(a[0], b[0]) : a[0] + radius;
    const label = element("text", { x: right + 8, y: kind === "ruler" ? (a[0] > b[0] ? a[1] : b[1]) : a[1] }, group);
    label.textContent = text;
  }

  function draw() {
    if (drawing?.sent && drawing.sent !== marks()) drawing = null;
    for (const layer of document.querySelectorAll("[data-marks]")) {
      const view = layer.dataset.marks;
      let svg = layer.querySelector("svg");
      if (!svg) svg = element("svg", {}, layer);
      svg.replaceChildren();
      const space = geometry(view);
      if (!space) continue;
      marks().forEach((mark, at) => {
        if (mark.view !== view || (drawing && drawing.at === at)) return;
        const [a, b] = [space.out(mark.a), space.out(mark.b)];
        if (Math.abs(a[2]) < CLOSE && Math.abs(b[2]) < CLOSE) one(svg, mark.kind, a, b, mark.text, at);
      });
      if (drawing?.view === view) {
        const [a, b] = [drawing.a, drawing.b];
        const [from, to] = [space.back(...a), space.back(...b)];
        const mm = Math.hypot(...from.map((value, k) => value - to[k]));
        one(svg, drawing.kind, a, b, drawing.kind === "ruler" ? `${mm.toFixed(1)} mm` : `⌀ ${(2 * mm).toFixed(1)} mm`, drawing.at);
      }
    }
  }

  function place(event, view) {
    const box = cell(view).getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function take(event) {
    event.preventDefault();
    event.stopPropagation();
  }

  window.addEventListener(
    "pointerdown",
    (event) => {
      const view = event.target.closest?.("[data-view]")?.dataset.view;
      if (!view || event.button !== 0) return;
      const grip = event.target.closest(".grip");
      const tool = state("PageState__tool");
      const at = Number(grip?.parentNode.dataset.at ?? -1);
      const mark = marks()[at];
      if (mark) {
        const space = geometry(view);
        drawing = { view, kind: mark.kind, at, a: space.out(mark.a).slice(0, 2), b: space.out(mark.b).slice(0, 2) };
        drawing.end = grip.dataset.end;
        take(event);
      } else if ((tool === "ruler" || tool === "region") && geometry(view) && !event.target.closest("button, .slice-slider")) {
        const here = place(event, view);
        drawing = { view, kind: tool, at: -1, a: here, b: here, end: "b" };
        take(event);
      }
    },
    true,
  );

  window.addEventListener(
    "pointermove",
    (event) => {
      if (!drawing || drawing.sent) return;
      take(event);
      const here = place(event, drawing.view);
      if (drawing.kind === "region" && drawing.end === "a") {
        drawing.b = drawing.b.map((value, k) => value + here[k] - drawing.a[k]); // the centre takes the edge along
      }
      drawing[drawing.end] = here;
      draw();
    },
    true,
  );

  window.addEventListener(
    "pointerup",
    (event) => {
      if (!drawing || drawing.sent) return;
      take(event);
      const { view, kind, at, a, b } = drawing;
      const space = geometry(view);
      drawing.sent = marks();
      if (space && Math.hypot(b[0] - a[0], b[1] - a[1]) >= 3) {
        window.wpunet.ask("mark", kind, view, space.back(...a), space.back(...b), at);
      } else {
        drawing = null;
        draw();
      }
    },
    true,
  );

  // Only while a mark is drawn: what the mouse does in the meantime is not for the view below it
  for (const kind of ["mousedown", "mousemove", "mouseup", "touchstart", "touchmove", "touchend"]) {
    window.addEventListener(kind, (event) => drawing && !drawing.sent && take(event), { capture: true, passive: false });
  }

  window.addEventListener("keydown", (event) => {
    if (event.key !== "Delete" && event.key !== "Backspace") return;
    if (event.target.closest("input, textarea, .v-overlay")) return;
    const over = document.querySelector(".marks g:hover");
    const count = marks().length;
    if (count) window.wpunet.ask("unmark", over ? Number(over.dataset.at) : count - 1);
  });

  const waiting = setInterval(() => {
    if (!window.trame?.state?.addListener) return;
    clearInterval(waiting);
    window.trame.state.addListener(() => requestAnimationFrame(draw));
  }, 50);
  window.addEventListener("resize", () => requestAnimationFrame(draw));
})();
