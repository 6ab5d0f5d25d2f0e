"use strict";
// Without this script the page still shows every clip with the browser's own controls.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Clips: a click plays from the start with sound, and only one plays at a time.
let current = null;
function stop() {
  if (!current) return;
  current.pause();
  current.parentElement.classList.remove("playing");
  current = null;
}
function play(video) {
  stop();
  current = video;
  const screen = video.parentElement;
  const playhead = screen.parentElement.querySelector(".playhead");
  video.currentTime = 0;
  screen.classList.add("playing");
  const width = playhead && playhead.ownerSVGElement.viewBox.baseVal.width;
  const follow = () => {
    if (current !== video) return;
    if (playhead && video.duration) playhead.setAttribute("transform", `translate(${(video.currentTime / video.duration) * width} 0)`);
    requestAnimationFrame(follow);
  };
  requestAnimationFrame(follow);
  return video.play().catch(stop);
}
for (const video of all("video")) {
  video.controls = false;
  video.tabIndex = 0;
  const screen = video.parentElement;
  screen.classList.add("js");
  const toggle = () => (current === video ? stop() : play(video));
  screen.addEventListener("click", toggle);
  video.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); }
  });
  video.addEventListener("ended", () => { if (current === video) stop(); });
  video.addEventListener("pointerenter", () => { video.preload = "auto"; });
}
for (const button of all(".turns")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    for (const video of all("video", button.closest(".card"))) {
      const paused = new Promise((done) => video.addEventListener("pause", done, { once: true }));
      await play(video);
      await paused; // at its end, or because somebody stopped it
      if (!video.ended) return;
    }
  });
}

// Tables: tabs by subset, and sorting with empty cells last.
for (const tab of all("[data-tab]")) {
  tab.addEventListener("click", () => {
    for (const other of all("[data-tab]")) other.setAttribute("aria-selected", other === tab);
    for (const panel of all("[data-panel]")) panel.hidden = panel.dataset.panel !== tab.dataset.tab;
  });
}
for (const head of all(".sortable thead th")) {
  head.addEventListener("click", () => {
    // Worst first: the lowest of what should be high, the highest of what should be low.
    const fresh = !head.hasAttribute("aria-sort");
    const up = fresh ? head.hasAttribute("data-text") || head.dataset.better === "higher" : head.getAttribute("aria-sort") === "descending";
    const far = head.dataset.better === "zero" ? Math.abs : Number;
    for (const other of all("th[aria-sort]", head.parentElement)) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0];
    const value = (row) => { const cell = row.cells[head.cellIndex]; return cell.dataset.sort ?? cell.textContent; };
    const text = head.hasAttribute("data-text");
    body.append(...[...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return (up ? 1 : -1) * (text ? x.localeCompare(y) : far(x) - far(y));
    }));
  });
}

// Cards: a few of each subset at first, and the rest on demand.
const FEW = 4;
const cards = document.querySelector(".cards");
const seen = {};
for (const [place, card] of all(".card").entries()) {
  card.dataset.place = place;
  seen[card.dataset.category] = (seen[card.dataset.category] ?? 0) + 1;
  if (seen[card.dataset.category] > FEW) card.classList.add("extra");
}
const more = document.querySelector(".more");
const showAll = () => { cards.classList.remove("few"); more.hidden = true; };
if (document.querySelector(".card.extra")) {
  cards.classList.add("few");
  more.hidden = false;
  more.firstElementChild.addEventListener("click", showAll);
}
const order = document.querySelector(".order");
order.addEventListener("click", () => {
  const worst = order.getAttribute("aria-pressed") !== "true";
  order.setAttribute("aria-pressed", worst);
  const listed = [...all(".card")].sort((a, b) => (worst ? b.dataset.bad - a.dataset.bad : a.dataset.place - b.dataset.place));
  const counts = {};
  for (const card of listed) {
    counts[card.dataset.category] = (counts[card.dataset.category] ?? 0) + 1;
    card.classList.toggle("extra", counts[card.dataset.category] > FEW);
  }
  cards.append(...listed);
});
for (const row of all("a[href^='#case-']")) row.addEventListener("click", () => { showAll(); filter(""); });
function filter(category) {
  for (const other of all("[data-filter]")) other.setAttribute("aria-selected", other.dataset.filter === category);
  for (const card of all(".card")) card.classList.toggle("out", category !== "" && card.dataset.category !== category);
}
const filters = document.querySelector(".filters");
filters.hidden = all(".card").length < 2;
for (const button of all("[data-filter]")) button.addEventListener("click", () => filter(button.dataset.filter));
if (location.hash.startsWith("#case-")) { showAll(); document.querySelector(location.hash)?.scrollIntoView(); }
