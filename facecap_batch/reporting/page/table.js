// The list of takes. Only the rows that are seen exist, so it scrolls alike with twenty takes and with twenty thousand.

const ROW_HEIGHT = 44;
const SPARE = 8; // rows above and below what is seen
const STRIP_WIDTH = 84;
const STRIP_GAP = 10;
const NAME_WIDTH = 150; // at least
const COLUMN_GAP = 14;
const STRIP_TITLES = { eyes: "eyes shut", jaw: "jaw open", smile: "smile", brows: "brows up", yaw: "head turn" };
const STRIP_COLOURS = { eyes: "#82c7ff", jaw: "#f0bd6f", smile: "#84d3a6", brows: "#c7a6ff", yaw: "#98a0ae" };
const HIGH_JITTER = 0.004; // what can be seen: a tremble with a deviation of 0.0025

/** The main subject's figures. */
function mainOf(take) {
  return take.persons?.[0];
}

/** Events a minute of the time in which the face was seen; null where they were not counted. */
function perMinute(take, name) {
  const person = mainOf(take);
  if (!person?.events || !person.seen_s) return null;
  return (60 * (person.events[name] ?? 0)) / person.seen_s;
}

function lostShare(take) {
  return take.status === "done" && take.frames ? 1 - (take.frames_with_face ?? 0) / take.frames : null;
}

/** A cell with a number, or a dash. */
function numberCell(value, text, level = "") {
  const isKnown = value !== null && value !== undefined;
  return make("span", { class: `number ${isKnown ? level : "none"}` }, isKnown ? text : "–");
}

const COLUMNS = [
  { key: "status", title: "", width: "10px", value: (take) => ["failed", "pending", "done"].indexOf(take.status),
    cell: (take) => make("span", { class: "dot", title: take.note || take.status }) },
  { key: "name", title: "Take", width: `minmax(${NAME_WIDTH}px, 1fr)`, value: (take) => take.clip_id,
    cell: (take) => make("span", { class: "name", title: take.clip_id },
      make("b", {}, take.clip_id), make("span", {}, [take.actor, take.source].filter(Boolean).join(" · "))) },
  { key: "seconds", title: "Length", width: "62px", value: (take) => take.seconds ?? null,
    cell: (take) => numberCell(take.seconds, clockText(take.seconds ?? 0, (take.seconds ?? 0) < 60 ? 1 : 0)) },
  { key: "strips", title: "", width: `${5 * STRIP_WIDTH + 4 * STRIP_GAP}px`, value: null, cell: stripsCell },
  { key: "lost", title: "Face lost", width: "66px", value: lostShare,
    help: "Share of the frames in which the face was not seen",
    cell: (take) => {
      const lost = lostShare(take);
      return numberCell(lost, percentText(lost ?? 0), lost > 0.5 ? "bad" : lost > 0.1 ? "warn" : "");
    } },
  { key: "jitter", title: "Jitter", width: "52px", value: (take) => mainOf(take)?.jitter ?? null,
    help: "How much the coefficients tremble from frame to frame, in thousandths: medians of second differences",
    cell: (take) => {
      const jitter = mainOf(take)?.jitter;
      return numberCell(jitter, ((jitter ?? 0) * 1000).toFixed(1), jitter > HIGH_JITTER ? "warn" : "");
    } },
  { key: "clipped", title: "Clipped", width: "56px", value: (take) => mainOf(take)?.clipped?.length ?? null,
    help: "Channels that are at their end for more than a twentieth of the time",
    cell: (take) => {
      const clipped = mainOf(take)?.clipped;
      const cell = numberCell(clipped, String(clipped?.length ?? 0), clipped?.length ? "warn" : "");
      if (clipped?.length) cell.title = clipped.join(", ");
      return cell;
    } },
  { key: "blinks", title: "Blinks", width: "52px", value: (take) => perMinute(take, "blink"), help: "A minute",
    cell: (take) => eventCell(take, "blink", true) },
  { key: "smiles", title: "Smiles", width: "52px", value: (take) => mainOf(take)?.events?.smile ?? (mainOf(take)?.events ? 0 : null),
    cell: (take) => eventCell(take, "smile", false) },
  { key: "raises", title: "Brow raises", width: "80px",
    value: (take) => mainOf(take)?.events?.brow_raise ?? (mainOf(take)?.events ? 0 : null),
    cell: (take) => eventCell(take, "brow_raise", false) },
  { key: "people", title: "People", width: "54px", value: (take) => take.people ?? take.persons?.length ?? null,
    cell: (take) => numberCell(take.people ?? take.persons?.length, String(take.people ?? take.persons?.length)) },
  { key: "shots", title: "Shots", width: "48px", value: (take) => take.shots ?? null,
    cell: (take) => numberCell(take.shots, String(take.shots)) },
];

function eventCell(take, name, isRate) {
  const events = mainOf(take)?.events;
  const value = isRate ? perMinute(take, name) : (events?.[name] ?? 0);
  const cell = numberCell(events ? value : null, isRate ? `${(value ?? 0).toFixed(0)}/min` : String(value));
  const all = Object.entries(events ?? {}).map(([event, count]) => `${count} × ${wordsOf(event)}`);
  if (all.length) cell.title = all.join("\n");
  return cell;
}

/** The sparklines of a take; of one that failed, why. */
function stripsCell(take, words) {
  if (take.status === "failed") return make("span", { class: "error", title: take.error }, `${take.error_type}: ${take.error}`);
  const person = mainOf(take);
  if (!person) return make("span", { class: "none" }, take.status === "pending" ? "not done yet" : take.note ?? "");
  const canvas = make("canvas", { "aria-hidden": "true" });
  drawStrips(canvas, bytesOf(person.strips), words);
  return canvas;
}

function drawStrips(canvas, strips, words) {
  const height = 32, top = 3, bottom = 24;
  const names = words.strips.filter((name) => name !== "face");
  const width = names.length * STRIP_WIDTH + (names.length - 1) * STRIP_GAP;
  const cells = words.strip_cells;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = sizedCanvas(canvas, width, height);
  const face = strips.subarray(words.strips.indexOf("face") * cells);
  const step = STRIP_WIDTH / (cells - 1);
  names.forEach((name, number) => {
    const values = strips.subarray(words.strips.indexOf(name) * cells, (words.strips.indexOf(name) + 1) * cells);
    const left = number * (STRIP_WIDTH + STRIP_GAP);
    const y = (value) => bottom - (value / 254) * (bottom - top);
    const zero = name === "yaw" ? y(127) : bottom;
    context.strokeStyle = "#2b303b";
    context.beginPath();
    context.moveTo(left, zero + 0.5);
    context.lineTo(left + STRIP_WIDTH, zero + 0.5);
    context.stroke();
    for (let cell = 0; cell < cells; cell++) { // where the face is lost
      if (face[cell] > 200) continue;
      context.fillStyle = face[cell] > 60 ? "#f0bd6f" : "#e2645d";
      context.fillRect(left + cell * step - step / 2, bottom + 3, step + 0.5, 2.5);
    }
    context.strokeStyle = context.fillStyle = STRIP_COLOURS[name];
    for (let from = 0; from < cells; from++) {
      if (values[from] === words.strip_nothing) continue;
      let to = from;
      while (to + 1 < cells && values[to + 1] !== words.strip_nothing) to++;
      context.beginPath();
      for (let cell = from; cell <= to; cell++) context.lineTo(left + cell * step, y(values[cell]));
      context.lineWidth = 1.2;
      context.stroke();
      context.lineTo(left + to * step, zero);
      context.lineTo(left + from * step, zero);
      context.globalAlpha = 0.16;
      context.fill();
      context.globalAlpha = 1;
      from = to;
    }
  });
}

const FILTERS = [
  { kind: "all", title: "All", has: () => true },
  { kind: "failed", title: "Failed", has: (take) => take.status === "failed" },
  { kind: "pending", title: "Not done", has: (take) => take.status === "pending" },
  { kind: "no_face", title: "No face", has: (take) => take.status === "done" && !take.frames_with_face },
  { kind: "little_seen", title: "Face often lost",
    has: (take, words) => take.status === "done" && take.frames_with_face > 0 && lostShare(take) > 1 - words.little_seen },
  { kind: "jitter", title: "Jitter", has: (take) => mainOf(take)?.jitter > HIGH_JITTER },
  { kind: "clipped", title: "Clipped", has: (take) => mainOf(take)?.clipped?.length > 0 },
  { kind: "note", title: "Notes", has: (take) => Boolean(take.note) },
];

class TakeTable {
  /**
   * @param {Element} place
   * @param {Object} words of the run
   * @param {Function} onOpen called with the number of a take
   */
  constructor(place, words, onOpen) {
    this.place = place;
    this.words = words;
    this.onOpen = onOpen;
    this.takes = [];
    this.order = []; // the takes that are listed, in this order
    this.sort = { column: null, isDown: false };
    this.filter = FILTERS[0];
    this.search = "";
    this.made = new Map(); // place in `order` -> element
    this.head = make("div", { class: "row head", role: "row" }, ...COLUMNS.map((column) => this.#title(column)));
    this.#layOut(this.head);
    this.body = make("div", { class: "rows" });
    this.empty = make("div", { class: "empty", hidden: "" }, "No take is like that.");
    place.append(this.head, this.body, this.empty);
    place.addEventListener("scroll", () => this.#draw(), { passive: true });
    new ResizeObserver(() => this.#draw()).observe(place);
  }

  /** Lists takes, in the order of their numbers. */
  show(takes) {
    this.takes = takes;
    this.update();
  }

  /** Filters, searches and sorts again. */
  update() {
    const wanted = this.search.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.takes.filter((take) => this.filter.has(take, this.words) && wanted.every((word) => this.#text(take).includes(word)));
    const { column, isDown } = this.sort;
    if (column) {
      const way = isDown ? -1 : 1;
      found.sort((a, b) => {
        const [x, y] = [column.value(a), column.value(b)];
        if (x === null || y === null) return (x === null) - (y === null); // what is not known stands last
        return way * (typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y);
      });
    }
    this.order = found;
    for (const element of this.made.values()) element.remove();
    this.made.clear();
    this.body.style.height = `${found.length * ROW_HEIGHT}px`;
    this.empty.hidden = found.length > 0;
    this.#draw();
  }

  /** The take that stands `by` rows behind another; of one that is not listed, none. */
  beside(take, by) {
    const place = this.order.findIndex(({ number }) => number === take.number);
    return place < 0 ? undefined : this.order[place + by];
  }

  counts() {
    return FILTERS.map((filter) => [filter, this.takes.filter((take) => filter.has(take, this.words)).length]);
  }

  #text(take) {
    take.text ??= [
      take.clip_id, take.actor, take.source, take.status, take.error_type, take.error, take.note, ...Object.values(take.further ?? {}),
    ].filter(Boolean).join("\n").toLowerCase();
    return take.text;
  }

  #title(column) {
    if (column.key === "strips") {
      const titles = this.words.strips.filter((name) => name !== "face").map((name) => {
        const part = make("span", {}, STRIP_TITLES[name]);
        part.style.width = `${STRIP_WIDTH + STRIP_GAP}px`;
        return part;
      });
      return make("span", { class: "strips", role: "columnheader" }, ...titles);
    }
    const button = make("button", {
      type: "button", title: [column.help, "Sort by this"].filter(Boolean).join(". "), "data-column": column.key,
      onclick: () => {
        const isSame = this.sort.column === column;
        if (isSame && this.sort.isDown === (column.key !== "name")) this.sort = { column, isDown: !this.sort.isDown };
        else if (isSame) this.sort = { column: null, isDown: false };
        else this.sort = { column, isDown: column.key !== "name" && column.key !== "status" };
        this.#markSort();
        this.update();
      },
    }, column.title || "•");
    const isNumber = !["name", "status"].includes(column.key);
    return make("span", { class: isNumber ? "number" : "", role: "columnheader" }, button);
  }

  #markSort() {
    for (const button of this.head.querySelectorAll("button")) {
      const column = COLUMNS.find(({ key }) => key === button.dataset.column);
      const isSorted = this.sort.column === column;
      button.textContent = (column.title || "•") + (isSorted ? (this.sort.isDown ? " ↓" : " ↑") : "");
      if (isSorted) button.setAttribute("aria-sort", this.sort.isDown ? "descending" : "ascending");
      else button.removeAttribute("aria-sort");
    }
  }

  #draw() {
    const top = this.place.scrollTop - this.head.offsetHeight;
    const first = Math.max(0, Math.floor(top / ROW_HEIGHT) - SPARE);
    const last = Math.min(this.order.length, Math.ceil((top + this.place.clientHeight) / ROW_HEIGHT) + SPARE);
    for (const [place, element] of this.made) {
      if (place >= first && place < last) continue;
      element.remove();
      this.made.delete(place);
    }
    for (let place = first; place < last; place++) {
      if (this.made.has(place)) continue;
      const row = this.#row(this.order[place]);
      row.style.top = `${place * ROW_HEIGHT}px`;
      this.made.set(place, row);
      this.body.append(row);
    }
  }

  #row(take) {
    const open = () => this.onOpen(take.number);
    const row = make("div", {
      class: `row ${take.status} ${take.note ? "note" : ""}`, role: "row", tabindex: "0", "data-take": take.number,
      onclick: open, onkeydown: (event) => event.key === "Enter" && open(),
    }, ...COLUMNS.map((column) => column.cell(take, this.words)));
    this.#layOut(row);
    return row;
  }

  /** Gives a row its columns, and the width below which the list scrolls sideways. */
  #layOut(row) {
    const fixed = COLUMNS.map(({ width }) => Number.parseInt(width, 10) || NAME_WIDTH);
    row.style.gridTemplateColumns = COLUMNS.map(({ width }) => width).join(" ");
    row.style.columnGap = `${COLUMN_GAP}px`;
    row.style.minWidth = `${fixed.reduce((sum, width) => sum + width + COLUMN_GAP, 2 * COLUMN_GAP)}px`;
  }
}
