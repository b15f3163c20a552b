// What a template cannot do: choosing and sending a file, keys, and a word before corrections are lost.
(function () {
  const KEYS = { ArrowUp: 1, ArrowDown: -1, PageUp: 5, PageDown: -5 };

  const corrected = () => document.getElementById("corrected") !== null;
  const mayReplace = () => !corrected() || window.confirm("Your corrections will be lost unless you save them. Go on?");

  function send(file) {
    if (!file || !mayReplace()) return;
    fetch("upload/" + encodeURIComponent(file.name), { method: "POST", body: file }).catch(() =>
      window.trame.trigger("upload_broke", [file.name]),
    );
  }

  window.wpunet = {
    mayReplace,
    choose() {
      const input = document.createElement("input");
      input.type = "file";
      input.accept = ".nii,.gz,.nrrd,.nhdr,.mha,.zip";
      input.onchange = () => send(input.files[0]);
      input.click();
    },
    copy(text) {
      navigator.clipboard.writeText(text);
    },
  };

  window.addEventListener("beforeunload", (event) => {
    if (corrected()) event.preventDefault();
  });

  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    send(event.dataTransfer.files[0]);
  });

  window.addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea, select, [role=slider], [role=listbox], [role=dialog]")) return;
    const command = event.ctrlKey || event.metaKey;
    let key = null;
    if (!command && !event.altKey && (event.key in KEYS || "npu".includes(event.key))) key = event.key;
    if (command && event.key.toLowerCase() === "z") key = event.shiftKey ? "redo" : "undo";
    if (command && event.key.toLowerCase() === "y") key = "redo";
    if (key === null) return;
    event.preventDefault();
    window.trame.trigger("key", [key in KEYS ? "slices" : key, KEYS[key] || 0]);
  });
})();
