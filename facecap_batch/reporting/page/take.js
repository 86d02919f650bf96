// A take, opened: its video beside the head, both at the time of the timeline.

class TakeView {
  /**
   * @param {Element} place
   * @param {Object} source EmbeddedSource or ServedSource
   * @param {Object} run
   * @param {{onClose: Function, onMove: Function}} actions
   */
  constructor(place, source, run, actions) {
    this.place = place;
    this.source = source;
    this.run = run;
    this.actions = actions;
    this.head = null;
    this.opened = 0;
    this.packedHead = source.head(); // asked for once, and before it is needed
    this.packedHead.catch(() => {}); // whoever opens a take is told
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Opens a take. */
  async open(take) {
    this.close();
    const turn = ++this.opened;
    this.take = take;
    this.place.hidden = false;
    this.#build(take);
    if (!take.has_curves) {
      this.headScreen.append(make("div", { class: "message" }, this.#whyNoCurves(take)));
      return;
    }
    const waiting = make("div", { class: "message" }, "Reading the curves …");
    this.headScreen.append(waiting);
    try {
      const [curves, packed] = await Promise.all([this.source.curves(take.number), this.packedHead]);
      if (turn !== this.opened) return;
      waiting.remove();
      this.#show(unpackedCurves(curves), packed);
    } catch (error) {
      waiting.textContent = `The curves cannot be shown: ${error.message}`;
    }
  }

  close() {
    this.opened++;
    this.clock?.leave();
    this.head?.close();
    this.timeline?.close();
    if (this.video) this.video.removeAttribute("src");
    [this.clock, this.head, this.timeline, this.video, this.curves] = [null, null, null, null, null];
    this.place.hidden = true;
    this.place.replaceChildren();
  }

  #whyNoCurves(take) {
    if (take.status === "failed") return `${take.error_type}\n\n${take.error}`;
    if (take.status === "pending") return "This take is not done yet.";
    const { held, of } = this.run.curves;
    if (held < of && !take.note) {
      return `The curves of this take are not in this page, which holds those of ${held} of ${of} takes. ` +
        `All of them:\n\nfacecap-batch serve ${this.run.folder}`;
    }
    return take.note || "There is no table of this take yet.";
  }

  #build(take) {
    const facts = [
      take.actor,
      take.seconds !== undefined ? clockText(take.seconds, 1) : null,
      take.fps ? `${Number(take.fps.toFixed(3))} fps` : null,
      take.width ? `${take.width} × ${take.height}` : null,
      take.source,
    ].filter(Boolean);
    this.persons = make("select", { "aria-label": "Person", hidden: "", onchange: () => this.#choose(Number(this.persons.value)) });
    this.previous = make("button", { type: "button", title: "Previous take (P)", onclick: () => this.actions.onMove(-1) }, "↑");
    this.following = make("button", { type: "button", title: "Next take (N)", onclick: () => this.actions.onMove(1) }, "↓");
    this.videoScreen = make("div", { class: "screen video" }, make("span", { class: "label" }, "video"));
    this.headScreen = make("div", { class: "screen head" });
    this.transport = make("div", { class: "transport" });
    this.band = make("div", { class: "timeline", hidden: "" });
    this.stage = make("div", { class: "stage" }, take.video ? this.videoScreen : null, this.headScreen);
    const names = [...this.run.words.channels, ...(take.more_channels ?? [])];
    this.channels = new ChannelList(names, (drawn) => this.timeline?.showChannels(drawn));
    this.place.append(
      make("div", { class: "take-top" },
        make("button", { type: "button", class: "back", title: "All takes (Escape)", onclick: this.actions.onClose }, "← All takes"),
        make("h1", {}, take.clip_id),
        make("span", { class: "facts", title: facts.join(" · ") }, facts.join(" · ")),
        make("span", { class: "push" }, this.persons, this.previous, this.following)),
      this.stage, this.channels.place, this.transport, this.band);
  }

  #show(curves, packed) {
    this.curves = curves;
    this.band.hidden = false;
    const canvas = make("canvas", { "aria-label": "The head. Drag to turn it, double click for the front." });
    this.unseen = make("span", { class: "unseen" });
    const hold = make("button", {
      type: "button", "aria-pressed": "false", title: "Keep the head still, to look at the face", onclick: () => {
        if (!this.head) return;
        this.head.isHeld = !this.head.isHeld;
        hold.setAttribute("aria-pressed", this.head.isHeld);
        this.head.draw();
      },
    }, "Hold still");
    const front = make("button", { type: "button", title: "Look from the front", onclick: () => this.head?.front() }, "Front");
    this.headScreen.append(canvas, make("span", { class: "label" }, "head"), this.unseen, make("div", { class: "tools" }, hold, front));
    try {
      this.head = new HeadView(canvas, packed);
    } catch (error) {
      canvas.replaceWith(make("div", { class: "message" }, `The head cannot be drawn: ${error.message}`));
    }
    this.play = make("button", { type: "button", class: "play", title: "Play (Space)", onclick: () => this.clock.toggle() }, "▶ Play");
    this.timeText = make("span", { class: "time" });
    this.counts = make("span", { class: "counts" });
    const back = make("button", { type: "button", title: "One frame back (←)", onclick: () => this.clock.step(-1) }, "◂");
    const on = make("button", { type: "button", title: "One frame on (→)", onclick: () => this.clock.step(1) }, "▸");
    this.transport.append(this.play, back, on, this.timeText, this.counts);
    this.timeline = new Timeline(this.band, curves, this.run.words.events, (time) => this.clock.seek(time));
    this.timeline.showChannels(this.channels.drawn());
    this.clock = new TakeClock(curves.tracks[0], curves.length, (time) => this.#at(time));
    this.clock.onState = () => (this.play.textContent = this.clock.isPlaying ? "❚❚ Pause" : "▶ Play");
    if (curves.tracks.length > 1) {
      this.persons.hidden = false;
      for (const { number } of curves.tracks) this.persons.append(make("option", { value: number }, `Person ${number}`));
    }
    this.#choose(curves.tracks[0].number);
    this.#showVideo();
  }

  #showVideo() {
    if (!this.take.video) return;
    const video = make("video", { preload: "auto", playsinline: "" });
    video.addEventListener("error", () => {
      if (this.video !== video) return;
      this.clock.leave();
      this.videoScreen.replaceChildren(make("div", { class: "message" },
        `This browser cannot play the video, or it is gone from where it was:\n\n${this.take.source}\n\nHead and curves go on without it.`));
    });
    video.addEventListener("loadedmetadata", () => this.clock?.follow(video, this.curves.offset), { once: true });
    video.addEventListener("click", () => this.clock.toggle());
    this.video = video;
    this.videoScreen.prepend(video);
    video.src = this.take.video;
  }

  #choose(number) {
    this.track = this.curves.tracks.find((track) => track.number === number);
    this.timeline.showTrack(this.track);
    const counts = {};
    for (const { name } of this.timeline.events) counts[name] = (counts[name] ?? 0) + 1;
    this.counts.textContent = this.timeline.lanes.map((name) => `${counts[name]} × ${wordsOf(name)}`).join("  ·  ");
    this.clock.seek(this.clock.time);
  }

  /** Shows everything at a time. */
  #at(time) {
    const { track } = this;
    if (!track) return;
    const row = track.rowAt(time);
    const isThere = time >= track.times[0] - 1e-6; // other people come later, and go
    this.row = row;
    this.head?.show(isThere ? track : null, row);
    this.channels.show(track, row);
    this.timeline.showTime(time);
    const state = isThere ? track.state[row] : 0;
    this.unseen.textContent = state === SEEN ? "" : state === BRIDGED ? "bridged: the face was not seen" : "no face";
    this.timeText.textContent = `${clockText(time, 2)} / ${clockText(this.curves.length, 2)}  frame ${this.clock.track.rowAt(time)}`;
  }

  #key(event) {
    if (this.place.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("select, input")) return;
    const actions = {
      " ": () => this.clock?.toggle(),
      ArrowLeft: () => this.clock?.step(event.shiftKey ? -10 : -1),
      ArrowRight: () => this.clock?.step(event.shiftKey ? 10 : 1),
      Home: () => this.clock?.seek(0),
      End: () => this.clock?.seek(this.curves.length),
      n: () => this.actions.onMove(1),
      p: () => this.actions.onMove(-1),
      Escape: () => this.actions.onClose(),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}
