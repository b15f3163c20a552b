// What a template cannot do: sending files, keys and the wheel, and a word before a page with corrections is closed.
(function () {
  const SLICES = { ArrowUp: -1, ArrowDown: 1, PageUp: -5, PageDown: 5 };
  const KEYS = ["Home", "End", "Escape", "n", "p", "u", "d", "h", "r", "f", "c", "[", "]", "1", "2", "3", "4"];
  const CLICK = 100; // what browsers call one click of the wheel; 3 where they count lines
  const TYPING =
    "input:not([type=checkbox]):not([type=radio]), textarea, select, [role=listbox], [role=dialog], " +
    ".v-overlay, [aria-haspopup][aria-expanded=true]"; // and an open menu, whose button has the focus at first

  const unsaved = () => !!window.trame?.state?.get("PageState__unsaved");
  const busy = () => !!window.trame.state.get("PageState__busy");
  const ask = (what, ...more) => window.trame.trigger(what, more);

  // trame holds a ticked box or a moved slider back while an answer is awaited, but sends a click at once: without this,
  // Segment and Apply would work with what was set before

  const click = window.trame.trigger;
  window.trame.trigger = (...what) => {
    const { client, state } = window.trame;
    if (state.dirtyKeys?.size) {
      client.getRemote().Trame.updateState([...state.dirtyKeys].map((key) => ({ key, value: state.get(key) })));
      state.dirtyKeys.clear();
    }
    return click(...what);
  };

  // Files

  async function send(files) {
    if (busy()) return void ask("refuse");
    const name = files[0]?.file.name ?? "The folder";
    if (files.length === 1 && !files[0].path.includes("/")) {
      post("upload/" + encodeURIComponent(name), files[0].file, name);
      return;
    }
    const form = new FormData();
    for (const { file, path } of files) form.append("file", file, path);
    post("upload", form, name);
  }

  // What the session has to say of a file it says on the page, and answers "ok"
  async function post(where, body, name) {
    const answer = await fetch(where, { method: "POST", body }).catch(() => null);
    if (!answer?.ok) ask("upload_broke", name);
  }

  const listed = (list) => [...list].map((file) => ({ file, path: file.webkitRelativePath || file.name }));

  function choose(folder) {
    const input = document.createElement("input");
    input.type = "file";
    if (folder) input.webkitdirectory = true;
    else input.multiple = true;
    input.onchange = () => input.files.length && send(listed(input.files));
    input.click();
  }

  async function within(entry) {
    if (entry.isFile)
      return new Promise((done) => entry.file((file) => done([{ file, path: entry.fullPath.replace(/^\//, "") }]), () => done([])));
    const reader = entry.createReader();
    const found = [];
    for (;;) {
      const some = await new Promise((done) => reader.readEntries(done, () => done([])));
      if (!some.length) return (await Promise.all(found.map(within))).flat();
      found.push(...some);
    }
  }

  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("drop", async (event) => {
    event.preventDefault();
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const plain = listed(event.dataTransfer.files);
    if (entries.length) send((await Promise.all(entries.map(within))).flat());
    else if (plain.length) send(plain);
  });

  window.addEventListener("beforeunload", (event) => {
    if (unsaved()) event.preventDefault();
  });

  // The wheel: what comes while an answer is awaited is added up, so nothing is overtaken

  const due = {};
  let asking = false;

  async function roll(view, clicks, zoom) {
    const name = view + (zoom ? " zoom" : "");
    due[name] = (due[name] || 0) + clicks;
    if (asking) return;
    asking = true;
    try {
      for (;;) {
        const next = Object.keys(due).find((one) => Math.trunc(due[one]) !== 0);
        if (!next) break;
        const whole = Math.trunc(due[next]);
        due[next] -= whole;
        await ask("roll", next.split(" ")[0], whole, next.endsWith("zoom"));
      }
    } finally {
      asking = false;
    }
  }

  const brushing = () => /Paint|Erase|Smoothing/.test(window.trame.state.get("SegmentEditorState__active_effect_name"));
  const viewOf = (target) => target?.closest?.("[data-view]")?.dataset.view;

  // The pointer leaves the views: said a little later, since its last move in them is held back that long, too

  let over = null;
  window.addEventListener("mouseover", (event) => {
    const before = over;
    over = viewOf(event.target) ?? null;
    if (before && !over) setTimeout(() => over || ask("leave"), 100);
  });
  document.documentElement.addEventListener("mouseleave", () => {
    over = null;
    setTimeout(() => over || ask("leave"), 100);
  });

  window.addEventListener(
    "wheel",
    (event) => {
      const view = viewOf(event.target);
      if (!view) return;
      event.preventDefault();
      event.stopPropagation();
      if (event.shiftKey && brushing()) return void ask("key", (event.deltaY || event.deltaX) < 0 ? "]" : "[");
      const size = event.deltaMode === 0 ? CLICK : 3;
      const clicks = event.deltaY / size;
      // a mouse clicks, however far its driver says; a touchpad moves in small steps, which add up
      const counted = Math.abs(clicks) >= 0.5 ? Math.sign(clicks) * Math.max(1, Math.round(Math.abs(clicks))) : clicks;
      roll(view, counted, event.ctrlKey);
    },
    { capture: true, passive: false },
  );

  let first = null; // the view of a double click's first click, which may have closed a menu over the view
  window.addEventListener("mousedown", (event) => event.detail < 2 && (first = viewOf(event.target)), true);
  window.addEventListener("dblclick", (event) => {
    const view = viewOf(event.target);
    const toolIsOn = !window.trame.state.get("PageState__tool"); // two dabs of a brush are no double click
    if (view && view === first && !toolIsOn && !event.target.closest("button, .slice-slider, .marks g")) ask("enlarge", view);
  });

  window.addEventListener("keydown", (event) => {
    if (event.target.closest(TYPING)) return;
    const command = event.ctrlKey || event.metaKey;
    let key = null;
    const plain = (!command && !event.altKey) || event.getModifierState("AltGraph"); // many keyboards have [ there
    if (plain && (event.key in SLICES || KEYS.includes(event.key))) key = event.key;
    if (command && event.key.toLowerCase() === "z") key = event.shiftKey ? "redo" : "undo";
    if (command && event.key.toLowerCase() === "y") key = "redo";
    const moves = key in SLICES || key === "Home" || key === "End";
    if (key === null || (moves && event.target.closest("[role=slider]"))) return; // a slider moves by them itself
    event.preventDefault();
    if (key in SLICES) turn(SLICES[key]);
    else ask("key", key);
  });

  // A key that is held down: as with the wheel
  let turns = 0;
  let turning = false;
  async function turn(by) {
    turns += by;
    if (turning) return;
    turning = true;
    try {
      while (turns) {
        const now = turns;
        turns = 0;
        await ask("key", "slices", now);
      }
    } finally {
      turning = false;
    }
  }

  // Say which pictures are on the screen, so that no more are drawn than are seen

  function listen() {
    const session = window.trame.client.getConnection().getSession();
    session.subscribe("trame.rca.topic.stream", ([{ name, meta }]) => {
      const seen = () => ask("seen", name, meta.st);
      if (document.hidden) seen();
      else requestAnimationFrame(seen);
    });
  }
  const waiting = setInterval(() => {
    if (!window.trame?.client?.isConnected?.()) return;
    clearInterval(waiting);
    listen();
  }, 20);

  window.wpunet = {
    ask,
    choose,
    copy: (text) => navigator.clipboard.writeText(text),
  };
})();
