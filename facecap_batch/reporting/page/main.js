// The page: its list, and the take that its address names (#take=12).

async function start() {
  const isServed = document.documentElement.dataset.kind === "served";
  const source = isServed ? new ServedSource() : new EmbeddedSource();
  const { run, takes } = await source.start();
  const list = document.getElementById("list");
  const table = new TakeTable(document.getElementById("table"), run.words, (number) => (location.hash = `take=${number}`));
  const view = new TakeView(document.getElementById("take"), source, run, {
    onClose: () => (location.hash = ""),
    onMove: (by) => {
      const next = table.beside(view.take, by);
      if (next) location.hash = `take=${next.number}`;
    },
  });

  const showCounts = () => {
    const filters = document.getElementById("filters");
    filters.replaceChildren(...table.counts()
      .filter(([filter, count]) => count || filter.kind === "all")
      .map(([filter, count]) => make("button", {
        type: "button", "aria-pressed": filter === table.filter, "data-filter": filter.kind,
        onclick: () => choose(filter),
      }, `${filter.title} ${countText(count)}`)));
    const shown = table.order.length;
    document.getElementById("shown").textContent =
      shown === takes.length ? "" : `${countText(shown)} of ${countText(takes.length)}`;
  };
  const choose = (filter) => {
    table.filter = filter;
    table.update();
    showCounts();
  };

  const route = () => {
    const found = /^#take=(\d+)$/.exec(location.hash);
    const take = found && takes[Number(found[1])];
    list.hidden = Boolean(take);
    if (take) view.open(take);
    else view.close();
  };

  showRun(run);
  showAdvice(run, (kind) => choose(FILTERS.find((filter) => filter.kind === kind)));
  table.show(takes);
  showCounts();
  document.getElementById("search").addEventListener("input", (event) => {
    table.search = event.target.value;
    table.update();
    showCounts();
  });
  addEventListener("hashchange", route);
  route();
  window.report = { run, takes, table, view };
  document.documentElement.dataset.ready = "true";

  const scheduleUpdate = laterOnce(() => {
    table.update();
    showCounts();
  }, 500);
  await source.gather((found, error) => {
    for (const take of found) takes[take.number] = take;
    const isWaiting = view.take && found.some((take) => take.number === view.take.number);
    if (isWaiting && !view.curves && !document.getElementById("take").hidden) route();
    if (error) document.getElementById("shown").textContent = error;
    scheduleUpdate();
  });
}

/** A function that runs `action` once, `wait` milliseconds after it was called first. */
function laterOnce(action, wait) {
  let timer = 0;
  return () => {
    timer ||= setTimeout(() => {
      timer = 0;
      action();
    }, wait);
  };
}

start().catch((error) => {
  document.getElementById("advice").append(make("div", { class: "card failed" }, `This report cannot be shown: ${error.message}`));
});
