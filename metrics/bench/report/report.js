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
    const up = head.getAttribute("aria-sort") === "descending" || (head.hasAttribute("data-text") && !head.hasAttribute("aria-sort"));
    for (const other of all("th[aria-sort]", head.parentElement)) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0];
    const value = (row) => { const cell = row.cells[head.cellIndex]; return cell.dataset.sort ?? cell.textContent; };
    const text = head.hasAttribute("data-text");
    body.append(...[...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return (up ? 1 : -1) * (text ? x.localeCompare(y) : x - y);
    }));
  });
}

// Cards: a few of each subset at first, and the rest on demand.
const FEW = 4;
const cards = document.querySelector(".cards");
const seen = {};
for (const card of all(".card")) {
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
for (const row of all("a[href^='#case-']")) row.addEventListener("click", () => { showAll(); filter(""); });
function filter(category) {
  for (const other of all("[data-filter]")) other.setAttribute("aria-selected", other.dataset.filter === category);
  for (const card of all(".card")) card.classList.toggle("out", category !== "" && card.dataset.category !== category);
}
const filters = document.querySelector(".filters");
filters.hidden = Object.keys(seen).length < 2;
for (const button of all("[data-filter]")) button.addEventListener("click", () => filter(button.dataset.filter));
if (location.hash.startsWith("#case-")) { showAll(); document.querySelector(location.hash)?.scrollIntoView(); }
