// The run at a glance, and what to do about it.

const STATES = {
  running: "running", finished: "finished", interrupted: "interrupted", broken: "broke off", killed: "was killed",
};

function tile(title, figure, unit, note, split = null) {
  return make("div", { class: "tile" },
    make("h2", {}, title),
    make("div", { class: "figure" }, figure, make("small", {}, unit ? ` ${unit}` : "")),
    split,
    make("div", { class: "note", title: note }, note));
}

function splitBar(parts) {
  const bar = make("div", { class: "split" });
  for (const [share, colour] of parts.filter(([size]) => size > 0)) {
    const part = make("i");
    part.style.flex = share;
    part.style.background = `var(${colour})`;
    bar.append(part);
  }
  return bar;
}

/** Fills the head of the page. */
function showRun(run) {
  const name = run.folder.split("/").filter(Boolean).pop() ?? run.folder;
  document.getElementById("folder").textContent = name;
  document.getElementById("folder").title = run.folder;
  const state = document.getElementById("state");
  state.textContent = STATES[run.state] ?? run.state;
  state.className = `badge ${run.state}`;
  const seen = run.frames ? run.frames_with_face / run.frames : 0;
  const ended = [run.failed ? `${run.failed} failed` : "", run.pending ? `${run.pending} not done yet` : ""].filter(Boolean);
  const began = new Date(run.started_at);
  const when = Number.isNaN(began.getTime()) ? "" : began.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  document.getElementById("glance").replaceChildren(
    tile("Takes", countText(run.done), `of ${countText(run.clips)} done`, ended.join(", ") || "none failed",
      splitBar([[run.done, "--good"], [run.failed, "--bad"], [run.pending, "--faint"]])),
    tile("Video", run.video_s < 3600 ? spanText(run.video_s) : (run.video_s / 3600).toFixed(2), run.video_s < 3600 ? "" : "hours",
      `${countText(run.frames)} frames`),
    tile("Face seen", run.frames ? percentText(seen) : "–", "of the frames", `lost in ${countText(run.frames - run.frames_with_face)} frames`,
      splitBar([[seen, "--good"], [run.frames ? 1 - seen : 0, "--warn"]])),
    tile("Speed", run.fps ? countText(Math.round(run.fps)) : "–", "frames a second",
      [run.times_real ? `${run.times_real < 10 ? run.times_real.toFixed(1) : Math.round(run.times_real)} × real time` : "",
        run.elapsed_s ? `took ${spanText(run.elapsed_s)}` : ""].filter(Boolean).join(" · ")),
    tile("Engines", run.engines.split("/").pop() || "–", "",
      [run.backends.join(", "), run.workers ? `${run.workers} ${run.workers === 1 ? "worker" : "workers"}` : ""].filter(Boolean).join(" · ")));
  document.getElementById("when").textContent = when;
}

/** Fills the list of what to do; `onShow` is called with the kind of takes that somebody wants to see. */
function showAdvice(run, onShow) {
  const cards = run.advice.map((advice) => {
    const card = make("div", { class: `card ${advice.kind}` },
      make("p", {},
        make("span", {}, make("b", {}, `${countText(advice.count)} ${advice.count === 1 ? "take" : "takes"} `), advice.text),
        advice.command ? make("code", {}, advice.command) : null,
        advice.command ? copyButton(advice.command) : null,
        make("button", { type: "button", onclick: () => onShow(advice.kind) }, "Show")));
    if (advice.kind === "failed") {
      card.append(make("ul", {}, ...run.errors.map((kind) =>
        make("li", {}, make("b", {}, `${countText(kind.count)} × ${kind.error_type}`), ` as ${kind.clip_id}: ${kind.error}`))));
    }
    return card;
  });
  const { held, of } = run.curves;
  if (held < of) {
    const command = `facecap-batch serve ${run.folder}`;
    cards.push(make("div", { class: "card page" }, make("p", {},
      make("span", {}, `This page holds the curves of ${countText(held)} of ${countText(of)} takes. All of them:`),
      make("code", {}, command), copyButton(command))));
  }
  document.getElementById("advice").replaceChildren(...cards);
}

function copyButton(text) {
  const button = make("button", {
    type: "button", onclick: async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(button.previousElementSibling);
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 1500);
    },
  }, "Copy");
  return button;
}
