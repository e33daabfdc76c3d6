"use strict";
(() => {
  const PER_PAGE = 120;
  const STATUSES = { fitted: "fitted", refused: "refused", unfitted: "no fit", no_hand: "no hand", failed: "failed" };
  const SORTS = {
    worst: ["score", 1], best: ["score", -1], error: ["error", -1], residual: ["residual", -1],
    iou: ["iou", 1], size: ["size", -1], name: ["name", 1], store: ["order", 1],
  };
  const FACTS = [
    ["Status", (r) => STATUSES[r.status]],
    ["Reason", (r) => r.reason],
    ["Image", (r) => r.name],
    ["Hand", (r) => r.slot === undefined ? null : `${r.slot + 1} of ${r.of} in the image`],
    ["Person", (r) => r.person],
    ["Side", (r) => r.side && `${r.side}${known(r.sideScore) ? `, probability ${fixed(r.sideScore, 2)}` : ""}`],
    ["Score", (r) => fixed(r.score, 3)],
    ["Predicted error", (r) => unit(r.error, 1, "mm")],
    ["Residual", (r) => unit(r.residual, 1, "px")],
    ["Mask IoU", (r) => fixed(r.iou, 3)],
    ["Mask", (r) => r.mask],
    ["Size of the hand", (r) => known(r.size) ? `${fixed(r.size, 0)} mm${r.sizeSource ? `, ${r.sizeSource}` : ""}` : null],
    ["Distance", (r) => unit(r.distance, 2, "m")],
    ["Keypoints seen", (r) => known(r.seen) ? `${r.seen} of 21` : null],
    ["Fit to the keypoints", (r) => r.fit],
    ["Last stage", (r) => r.stage],
    ["Started from", (r) => r.start],
    ["Detector's score", (r) => fixed(r.detection, 2)],
    ["Size of the image", (r) => r.pixels],
    ["Camera", (r) => r.camera],
  ];

  const element = (id) => document.getElementById(id);
  const known = (value) => value !== undefined && value !== null;
  const fixed = (value, digits) => known(value) ? value.toFixed(digits) : null;
  const unit = (value, digits, name) => known(value) ? `${value.toFixed(digits)} ${name}` : null;
  const made = (tag, name, text) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (known(text)) node.textContent = text;
    return node;
  };

  const setup = JSON.parse(element("setup").textContent);
  const rows = [];
  for (const script of document.querySelectorAll("script.rows")) {
    const part = { source: script.nextElementSibling, lines: null };
    for (const row of JSON.parse(script.textContent)) {
      rows.push(Object.assign(row, { part, order: rows.length, search: row.name.toLowerCase() }));
    }
  }
  const grid = element("grid"), dialog = element("details");
  let shown = rows, first = 0, current = 0;

  // A thumbnail's text is looked up when it is shown.
  function thumbnail(row) {
    if (!known(row.thumbnail)) return null;
    row.part.lines ??= row.part.source.textContent.split("\n");
    return `data:image/webp;base64,${row.part.lines[row.thumbnail]}`;
  }

  function title(row) {
    const what = row.side ? `${row.side} hand` : STATUSES[row.status];
    return `${what} in ${row.name}`;
  }

  function label(row) {
    const said = [title(row)];
    if (known(row.score)) said.push(`score ${fixed(row.score, 2)}`);
    if (row.side) said.push(STATUSES[row.status]);
    if (row.reason) said.push(row.reason);
    return said.join(", ");
  }

  function card(row, place) {
    const item = made("li"), button = made("button");
    button.type = "button";
    button.dataset.place = place;
    button.setAttribute("aria-label", label(row));
    const picture = thumbnail(row);
    if (picture) {
      const image = made("img");
      image.src = picture;
      image.alt = "";
      image.decoding = "async";
      button.append(image);
    } else {
      button.append(made("span", "blank", "no picture"));
    }
    const what = made("span", "what");
    what.append(made("b", row.status, row.side ? `${row.side}${row.status === "fitted" ? "" : `, ${STATUSES[row.status]}`}`
      : STATUSES[row.status]));
    if (known(row.score)) what.append(made("span", "", fixed(row.score, 2)));
    button.append(what, made("span", "name", row.name));
    if (row.reason) button.append(made("span", "why", row.reason));
    item.append(button);
    return item;
  }

  function draw() {
    const last = Math.min(first + PER_PAGE, shown.length);
    grid.replaceChildren(...shown.slice(first, last).map((row, place) => card(row, first + place)));
    const of = shown.length === rows.length ? "" : ` (of ${rows.length.toLocaleString("en")})`;
    element("count").textContent = shown.length
      ? `${(first + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${shown.length.toLocaleString("en")}${of}`
      : rows.length ? `None of ${rows.length.toLocaleString("en")} is like this` : "No image was finished yet";
    const pages = Math.max(1, Math.ceil(shown.length / PER_PAGE));
    element("page").textContent = `Page ${first / PER_PAGE + 1} of ${pages}`;
    element("previous").disabled = first === 0;
    element("next").disabled = last >= shown.length;
  }

  function choose() {
    const text = element("search").value.trim().toLowerCase();
    const side = element("side").value, person = element("person").value;
    const wanted = new Set([...document.querySelectorAll("#statuses input:checked")].map((box) => box.value));
    shown = rows.filter((row) => wanted.has(row.status) && (!side || row.side === side)
      && (!person || row.person === person) && row.search.includes(text));
    const [key, sign] = SORTS[element("sort").value];
    shown.sort((a, b) => {
      const x = a[key], y = b[key];
      if (!known(x) || !known(y)) return known(y) - known(x) || a.order - b.order;
      return (x < y ? -sign : x > y ? sign : 0) || a.order - b.order;
    });
    first = 0;
    draw();
  }

  function turn(step) {
    first += step * PER_PAGE;
    draw();
    element("hands").scrollIntoView({ block: "start" });
    // The button that was pressed may be disabled now, and would lose the focus to nothing.
    if (document.activeElement === document.body) element("hands").focus();
  }

  function show(place) {
    current = place;
    const row = shown[place], picture = thumbnail(row);
    element("details-title").textContent = title(row);
    element("details-image").hidden = !picture;
    if (picture) element("details-image").src = picture;
    const facts = [];
    for (const [name, value] of FACTS) {
      const text = value(row);
      if (known(text) && text !== "") facts.push(made("dt", "", name), made("dd", name === "Status" ? row.status : "", text));
    }
    element("details-facts").replaceChildren(...facts);
    element("before").disabled = place === 0;
    element("after").disabled = place === shown.length - 1;
    if (!dialog.open) dialog.showModal();
  }

  function step(by) {
    const place = current + by;
    if (place < 0 || place >= shown.length) return;
    const start = place - place % PER_PAGE;
    if (start !== first) {
      first = start;
      draw();
    }
    show(place);
  }

  function count(value, name) {
    const found = rows.reduce((sum, row) => sum + (row[name] === value), 0);
    return found.toLocaleString("en");
  }

  for (const [status, name] of Object.entries(STATUSES)) {
    const box = made("input"), frame = made("label");
    Object.assign(box, { type: "checkbox", value: status, defaultChecked: true });
    frame.append(box, ` ${name} (${count(status, "status")})`);
    element("statuses").append(frame);
  }
  const people = [...new Set(rows.map((row) => row.person).filter(Boolean))].sort();
  element("person-label").hidden = people.length === 0;
  for (const person of people) {
    const option = made("option", "", person);
    option.value = person;
    element("person").append(option);
  }
  element("sort").value = setup.sort;
  document.documentElement.style.setProperty("--ratio", setup.ratio);
  document.documentElement.style.setProperty("--wide", Math.max(1, 0.85 * setup.ratio));
  // The summary stands at the end of the file, because it is known there; it is read first.
  element("controls").before(element("run"));

  element("search").addEventListener("input", choose);
  element("controls").addEventListener("change", (event) => {
    if (event.target !== element("search")) choose();  // its text was searched for while it was typed
  });
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  element("show-all").addEventListener("click", () => {
    element("controls").reset();
    element("sort").value = setup.sort;
    choose();
  });
  element("previous").addEventListener("click", () => turn(-1));
  element("next").addEventListener("click", () => turn(1));
  grid.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) show(Number(button.dataset.place));
  });
  element("before").addEventListener("click", () => step(-1));
  element("after").addEventListener("click", () => step(1));
  element("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  dialog.addEventListener("close", () => {
    grid.querySelector(`button[data-place="${current}"]`)?.focus();
  });
  element("theme").addEventListener("click", () => {
    const root = document.documentElement.dataset, order = ["auto", "light", "dark"];
    const next = order[(order.indexOf(root.theme ?? "auto") + 1) % order.length];
    if (next === "auto") delete root.theme;
    else root.theme = next;
    element("theme").textContent = `Colours: ${next}`;
    element("theme").setAttribute("aria-label", `Colours: ${next === "auto" ? "as the system has them" : next}`);
  });

  choose();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
