// The timeline: where the face was seen, events, curves, the head's angles. Dragging scrubs, the wheel zooms.

const LANE = 13; // pixels of a row of events
const STATE_HEIGHT = 5;
const PLOT_HEIGHT = 128;
const ANGLE_HEIGHT = 64;
const RULER_HEIGHT = 20;
const GUTTER = 86; // pixels, for the names of lanes
const MARGIN = 22;
const MIN_SPAN = 0.2; // seconds that can be seen at least
const SIDE_COLOURS = { left: "#82c7ff", right: "#c7a6ff", both: "#84d3a6" };
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

class Timeline {
  /**
   * @param {Element} place
   * @param {{length: number, events: Object[]}} curves
   * @param {string[]} order of the lanes of events
   * @param {Function} onScrub called with a time, seconds
   */
  constructor(place, curves, order, onScrub) {
    this.curves = curves;
    this.order = order;
    this.onScrub = onScrub;
    this.tip = make("div", { class: "tip", hidden: "" });
    this.canvas = make("canvas", { "aria-label": "Timeline", tabindex: "0" });
    place.append(this.canvas, this.tip);
    this.from = 0;
    this.to = Math.max(curves.length, MIN_SPAN);
    this.time = 0;
    this.shown = []; // {name, colour, isDashed}
    this.showTrack(curves.tracks[0]);
    this.#listen();
    this.observer = new ResizeObserver(() => this.#layOut());
    this.observer.observe(place);
  }

  showTrack(track) {
    this.track = track;
    this.events = this.curves.events.filter((event) => event.track === track.number);
    const names = new Set(this.events.map((event) => event.name));
    this.lanes = this.order.filter((name) => names.has(name));
    this.#layOut();
  }

  /** @param {{name: string, colour: string, isDashed: boolean}[]} channels the curves to draw */
  showChannels(channels) {
    this.shown = channels;
    this.#layOut();
  }

  showTime(time) {
    this.time = time;
    if (time < this.from || time > this.to) {
      const span = this.to - this.from;
      this.from = Math.max(0, Math.min(time - span * 0.1, this.curves.length - span));
      this.to = this.from + span;
    }
    this.draw();
  }

  close() {
    this.observer.disconnect();
  }

  #layOut() {
    const width = this.canvas.parentElement.clientWidth;
    if (!width) return;
    this.width = width;
    let top = 8;
    this.stateTop = top;
    top += STATE_HEIGHT + 6;
    this.laneTop = top;
    top += this.lanes.length * LANE + (this.lanes.length ? 5 : 0);
    this.plotTop = top;
    top += PLOT_HEIGHT;
    this.hasAngles = this.shown.some((channel) => HEAD_ANGLES.includes(channel.name));
    this.angleTop = top + 8;
    if (this.hasAngles) top += ANGLE_HEIGHT + 8;
    this.rulerTop = top + 4;
    this.height = this.rulerTop + RULER_HEIGHT;
    this.canvas.style.height = `${this.height}px`;
    this.context = sizedCanvas(this.canvas, width, this.height);
    this.draw();
  }

  #x(time) {
    return GUTTER + ((time - this.from) / (this.to - this.from)) * (this.width - GUTTER - MARGIN);
  }

  #timeAt(x) {
    const share = (x - GUTTER) / (this.width - GUTTER - MARGIN);
    return Math.max(0, Math.min(this.from + share * (this.to - this.from), this.curves.length));
  }

  draw() {
    if (!this.context || !this.track) return;
    const context = this.context;
    context.clearRect(0, 0, this.width, this.height);
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    this.#drawRuler(context);
    context.save();
    context.beginPath();
    context.rect(GUTTER, 0, this.width - GUTTER - MARGIN + 1, this.height);
    context.clip();
    this.#drawState(context);
    this.#drawEvents(context);
    this.#drawCurves(context);
    this.#drawPlayhead(context);
    context.restore();
    this.#drawNames(context);
  }

  #drawRuler(context) {
    const step = STEPS.find((size) => (size / (this.to - this.from)) * (this.width - GUTTER) > 64) ?? 7200;
    context.fillStyle = "#6b7382";
    context.strokeStyle = "#242933";
    context.textAlign = "center";
    context.beginPath();
    for (let k = Math.ceil(this.from / step); k * step <= this.to; k++) {
      const x = Math.round(this.#x(k * step)) + 0.5;
      context.moveTo(x, this.plotTop);
      context.lineTo(x, this.rulerTop);
      const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
      context.fillText(clockText(k * step, digits), x, this.rulerTop + RULER_HEIGHT / 2);
    }
    context.stroke();
    context.strokeStyle = "#2b303b";
    context.beginPath();
    for (const level of [0, 0.5, 1]) {
      const y = Math.round(this.#plotY(level)) + 0.5;
      context.moveTo(GUTTER, y);
      context.lineTo(this.width - MARGIN, y);
    }
    if (this.hasAngles) {
      const y = Math.round(this.angleTop + ANGLE_HEIGHT / 2) + 0.5;
      context.moveTo(GUTTER, y);
      context.lineTo(this.width - MARGIN, y);
    }
    context.stroke();
  }

  #drawState(context) {
    const { track } = this;
    const colours = { 0: "#e2645d", [BRIDGED]: "#f0bd6f", [SEEN]: "#3f6b55" };
    let start = 0;
    for (let row = 1; row <= track.rows; row++) {
      if (row < track.rows && track.state[row] === track.state[start]) continue;
      const end = row < track.rows ? track.times[row] : this.#trackEnd();
      const x = this.#x(track.times[start]);
      context.fillStyle = colours[track.state[start]];
      context.fillRect(x, this.stateTop, Math.max(1, this.#x(end) - x), STATE_HEIGHT);
      if (track.state[start] === 0) {
        context.fillStyle = "#e2645d14";
        context.fillRect(x, this.plotTop, this.#x(end) - x, this.rulerTop - this.plotTop);
      }
      start = row;
    }
    context.fillStyle = "#98a0ae";
    for (const row of track.shots) context.fillRect(this.#x(track.times[row]), this.stateTop - 4, 1, this.rulerTop);
  }

  #trackEnd() {
    const { times, rows } = this.track;
    return rows > 1 ? times[rows - 1] + (times[rows - 1] - times[rows - 2]) : times[0] ?? 0;
  }

  #drawEvents(context) {
    for (const event of this.events) {
      const top = this.laneTop + this.lanes.indexOf(event.name) * LANE;
      const x = this.#x(event.start);
      context.fillStyle = SIDE_COLOURS[event.side];
      context.globalAlpha = 0.35 + 0.65 * event.peak;
      context.fillRect(x, top + 3, Math.max(2, this.#x(event.end) - x), LANE - 6);
      context.globalAlpha = 1;
    }
  }

  #plotY(value) {
    return this.plotTop + 6 + (1 - value) * (PLOT_HEIGHT - 12);
  }

  #drawCurves(context) {
    const { track } = this;
    const first = Math.max(0, track.rowAt(this.from) - 1);
    const last = Math.min(track.rows - 1, track.rowAt(this.to) + 1);
    const reach = this.#angleReach();
    for (const { name, colour, isDashed } of this.shown) {
      const axis = HEAD_ANGLES.indexOf(name);
      const middle = this.angleTop + ANGLE_HEIGHT / 2;
      const y = axis < 0
        ? (row) => this.#plotY(track.value(name, row))
        : (row) => middle - (track.head[axis][row] / reach) * (ANGLE_HEIGHT / 2 - 3);
      context.strokeStyle = colour;
      context.lineWidth = 1.4;
      context.setLineDash(isDashed ? [5, 3] : []);
      context.beginPath();
      this.#trace(context, first, last, y);
      context.stroke();
      context.setLineDash([]);
    }
  }

  /** The path of a curve; where there are more frames than pixels, the lowest and the highest of each pixel. */
  #trace(context, first, last, y) {
    const { track } = this;
    const isDense = last - first > 2 * this.width;
    let isDown = false;
    for (let row = first; row <= last; ) {
      const x = this.#x(track.times[row]);
      let low = y(row), high = low, end = row + 1;
      while (isDense && end <= last && this.#x(track.times[end]) < x + 1) {
        const value = y(end++);
        if (value < low) low = value;
        if (value > high) high = value;
      }
      if (!Number.isFinite(low)) {
        isDown = false;
      } else {
        if (isDown) context.lineTo(x, low);
        else context.moveTo(x, low);
        if (high !== low) context.lineTo(x, high);
        isDown = true;
      }
      row = end;
    }
  }

  /** Half the range of the plot of angles, radians: 15, 45 or 90 degrees, or what is needed. */
  #angleReach() {
    let largest = 0;
    for (const axis of this.track.head.slice(0, 3)) {
      for (const angle of axis) if (Math.abs(angle) > largest) largest = Math.abs(angle);
    }
    const steps = [15, 45, 90].map((degrees) => (degrees * Math.PI) / 180);
    return steps.find((step) => largest <= step) ?? largest;
  }

  #drawPlayhead(context) {
    const x = Math.round(this.#x(this.time)) + 0.5;
    context.strokeStyle = "#ffffff";
    context.globalAlpha = 0.85;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, this.rulerTop);
    context.stroke();
    context.globalAlpha = 1;
  }

  #drawNames(context) {
    context.textAlign = "right";
    context.fillStyle = "#98a0ae";
    context.fillText("face", GUTTER - 10, this.stateTop + STATE_HEIGHT / 2);
    this.lanes.forEach((name, number) => {
      context.fillText(wordsOf(name), GUTTER - 10, this.laneTop + number * LANE + LANE / 2);
    });
    context.fillStyle = "#6b7382";
    for (const level of [0, 0.5, 1]) context.fillText(String(level), GUTTER - 10, this.#plotY(level));
    if (this.hasAngles) {
      const degrees = Math.round((this.#angleReach() * 180) / Math.PI);
      context.fillText(`+${degrees}°`, GUTTER - 10, this.angleTop + 5);
      context.fillText(`−${degrees}°`, GUTTER - 10, this.angleTop + ANGLE_HEIGHT - 5);
    }
  }

  #eventAt(x, y) {
    const lane = this.lanes[Math.floor((y - this.laneTop) / LANE)];
    const near = 3;
    return this.events.find(
      (event) => event.name === lane && x >= this.#x(event.start) - near && x <= this.#x(event.end) + near,
    );
  }

  #listen() {
    const { canvas } = this;
    const scrub = (event) => this.onScrub(this.#timeAt(event.offsetX));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      scrub(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) scrub(event);
      this.#showTip(event);
    });
    canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const span = this.to - this.from;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        this.#see(this.from + ((event.deltaX || event.deltaY) / this.width) * span, span);
      } else {
        const centre = this.#timeAt(event.offsetX);
        const factor = Math.exp(event.deltaY * 0.0015);
        this.#see(centre - (centre - this.from) * factor, span * factor);
      }
    }, { passive: false });
    canvas.addEventListener("dblclick", () => this.#see(0, this.curves.length));
  }

  #see(from, span) {
    const length = Math.max(this.curves.length, MIN_SPAN);
    const kept = Math.max(MIN_SPAN, Math.min(span, length));
    this.from = Math.max(0, Math.min(from, length - kept));
    this.to = this.from + kept;
    this.draw();
  }

  #showTip(event) {
    const found = this.#eventAt(event.offsetX, event.offsetY);
    this.tip.hidden = !found;
    if (!found) return;
    const side = found.side === "both" ? "" : `, ${found.side}`;
    this.tip.textContent =
      `${wordsOf(found.name)}${side}: ${clockText(found.start, 2)} to ${clockText(found.end, 2)}, peak ${found.peak.toFixed(2)}`;
    this.tip.style.left = `${Math.min(event.offsetX + 12, this.width - this.tip.offsetWidth - 8)}px`;
    this.tip.style.top = `${event.offsetY + 14}px`;
  }
}
