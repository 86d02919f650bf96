// The channels of a take: which curves are drawn, and what each is at the moment.

const GROUPS = [
  ["Eyes", (name) => name.startsWith("eye")],
  ["Brows", (name) => name.startsWith("brow")],
  ["Jaw", (name) => name.startsWith("jaw")],
  ["Mouth", (name) => name.startsWith("mouth") || name.startsWith("tongue")],
  ["Cheeks and nose", (name) => name.startsWith("cheek") || name.startsWith("nose")],
  ["Head", (name) => HEAD_ANGLES.includes(name)],
];
const AT_FIRST = ["eyeBlinkLeft", "eyeBlinkRight", "jawOpen", "mouthSmileLeft", "mouthSmileRight", "browInnerUp", "headYaw", "headPitch"];
const GOLDEN = 137.5; // degrees of hue from one channel to the next: neighbours are far apart

class ChannelList {
  /**
   * @param {string[]} names of the coefficients
   * @param {Function} onChange called with the channels that are drawn
   */
  constructor(names, onChange) {
    this.onChange = onChange;
    this.isOn = new Set(AT_FIRST);
    this.channels = [...names, ...HEAD_ANGLES].map((name) => ({ name, isDashed: name.endsWith("Right") }));
    const stems = [...new Set(this.channels.map(({ name }) => name.replace(/(Left|Right)$/, "")))];
    for (const channel of this.channels) { // the two sides have one colour, the right one is dashed
      const hue = (stems.indexOf(channel.name.replace(/(Left|Right)$/, "")) * GOLDEN) % 360;
      channel.colour = `hsl(${Math.round(hue)} 75% ${channel.isDashed ? 76 : 66}%)`;
    }
    const all = make("button", { type: "button", onclick: () => this.#set(this.channels.map(({ name }) => name)) }, "All");
    const moving = make("button", {
      type: "button",
      title: "The channels that move most",
      onclick: () => this.#set(this.#liveliest(8)),
    }, "Liveliest");
    const none = make("button", { type: "button", onclick: () => this.#set([]) }, "None");
    this.scroll = make("div", { class: "scroll" });
    this.place = make("aside", { class: "channels", "aria-label": "Channels" },
      make("div", { class: "tools" }, moving, all, none), this.scroll);
    for (const [title, belongs] of GROUPS) {
      this.scroll.append(make("h3", {}, title));
      for (const channel of this.channels.filter(({ name }) => belongs(name))) this.scroll.append(this.#row(channel));
    }
    this.#paint();
  }

  #row(channel) {
    channel.swatch = make("span", { class: "swatch" });
    channel.fill = make("i");
    channel.fill.style.transform = "scaleX(0)";
    channel.text = make("span", { class: "value" });
    channel.button = make("button", {
      class: "channel", type: "button", "data-channel": channel.name, onclick: () => {
        if (!this.isOn.delete(channel.name)) this.isOn.add(channel.name);
        this.#changed();
      },
    }, channel.swatch, channel.name, make("span", { class: "bar" }, channel.fill), channel.text);
    return channel.button;
  }

  #set(names) {
    this.isOn = new Set(names);
    this.#changed();
  }

  #changed() {
    this.#paint();
    this.onChange(this.drawn());
  }

  #paint() {
    for (const { name, button, swatch, colour, isDashed } of this.channels) {
      const isOn = this.isOn.has(name);
      button.setAttribute("aria-pressed", isOn);
      swatch.style.background = !isOn || isDashed ? "none" : colour;
      swatch.style.borderColor = isOn ? colour : "";
      swatch.style.borderStyle = isOn && isDashed ? "dashed" : "solid";
    }
  }

  /** The channels whose curves are drawn. */
  drawn() {
    return this.channels.filter(({ name }) => this.isOn.has(name));
  }

  /** The names of the `count` coefficients with the largest range. */
  #liveliest(count) {
    const ranges = [...(this.track?.moving ?? [])].map(([name, values]) => {
      let low = Infinity, high = -Infinity;
      for (const value of values) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
      return [high - low, name];
    });
    return ranges.sort((a, b) => b[0] - a[0]).slice(0, count).map(([, name]) => name);
  }

  /** Shows the values of a frame. */
  show(track, row) {
    this.track = track;
    for (const channel of this.channels) {
      const axis = HEAD_ANGLES.indexOf(channel.name);
      const value = axis < 0 ? track.value(channel.name, row) : track.head[axis][row];
      const share = axis < 0 ? value : 0.5 + value / Math.PI;
      const isKnown = Number.isFinite(value) && track.state[row] > 0;
      channel.fill.style.transform = `scaleX(${isKnown ? Math.max(0, Math.min(1, share)) : 0})`;
      const text = axis < 0 ? value.toFixed(2) : `${((value * 180) / Math.PI).toFixed(0)}°`;
      channel.text.textContent = isKnown ? text : "–";
    }
  }
}
