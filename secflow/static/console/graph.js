// Zooming and moving in the picture of a graph. Without this script the picture is scrolled like any other box.
"use strict";

(() => {
  const STEP = 1.25;
  const LEAST = 0.15;
  const MOST = 3;
  // Kept here and not in the picture: each refresh of the page brings another one.
  let scale = 0; // 0: as the style sheet has it
  let visited = ""; // the id of the node that was shown last
  let drag = null; // where it began, while the picture is dragged

  function size(picture) {
    const [, , width, height] = picture.getAttribute("viewBox").split(" ").map(Number);
    return { width, height };
  }

  function current(picture) {
    return picture.getBoundingClientRect().width / size(picture).width;
  }

  // Sets the scale and keeps the point (x, y) of the view where it is.
  function zoom(view, wanted, x = view.clientWidth / 2, y = view.clientHeight / 2) {
    const picture = view.querySelector("[data-graph-picture]");
    const old = current(picture);
    scale = Math.min(MOST, Math.max(LEAST, wanted));
    const [left, top] = [picture.offsetLeft ?? 0, picture.offsetTop ?? 0];
    const at = [(view.scrollLeft + x - left) / old, (view.scrollTop + y - top) / old];
    apply(picture);
    view.scrollTo({ left: at[0] * scale - x, top: at[1] * scale - y, behavior: "instant" });
  }

  function apply(picture) {
    if (!scale) return;
    const { width, height } = size(picture);
    picture.classList.add("graph-picture--zoomed");
    picture.setAttribute("width", Math.round(width * scale));
    picture.setAttribute("height", Math.round(height * scale));
  }

  function fit(view) {
    const { width, height } = size(view.querySelector("[data-graph-picture]"));
    const limit = Math.max(320, window.innerHeight * 0.72);
    zoom(view, Math.min(1, view.clientWidth / width, limit / height));
    view.scrollTo({ left: 0, top: 0, behavior: "instant" });
  }

  // The next node of interest after the one that was shown last: a failed one, else one that runs.
  function visit(view) {
    const failed = [...view.querySelectorAll('[data-status="failed"]')];
    const nodes = failed.length ? failed : [...view.querySelectorAll('[data-status="running"]')];
    if (!nodes.length) return;
    const last = nodes.findIndex((node) => node.id === visited);
    const node = nodes[(last + 1) % nodes.length];
    visited = node.id;
    if (current(view.querySelector("[data-graph-picture]")) < 0.6) zoom(view, 0.9);
    reveal(view, node);
    node.focus({ preventScroll: true });
  }

  function reveal(view, node) {
    const [box, frame] = [node.getBoundingClientRect(), view.getBoundingClientRect()];
    view.scrollBy({
      left: box.left + box.width / 2 - frame.left - view.clientWidth / 2,
      top: box.top + box.height / 2 - frame.top - view.clientHeight / 2,
      behavior: "instant",
    });
  }

  function tools(view) {
    const bar = document.createElement("div");
    bar.className = "graph-tools";
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "Picture");
    const buttons = [
      ["smaller", "−", "Smaller", () => zoom(view, current(view.querySelector("[data-graph-picture]")) / STEP)],
      ["larger", "+", "Larger", () => zoom(view, current(view.querySelector("[data-graph-picture]")) * STEP)],
      ["natural", "1:1", "Natural size", () => zoom(view, 1)],
      ["fit", "Fit", "Show all of it", () => fit(view)],
      ["next", "Next", "Go to the next node that failed or runs", () => visit(view)],
    ];
    for (const [name, text, title, press] of buttons) {
      const button = document.createElement("button");
      button.type = "button";
      button.id = `graph-${name}-button`; // by which the focus is found again
      button.textContent = text;
      button.title = title;
      button.setAttribute("aria-label", title);
      button.addEventListener("click", press);
      bar.append(button);
    }
    return bar;
  }

  function listen(view) {
    view.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && event.pointerType === "mouse" && !event.target.closest("a")) {
        drag = { id: view.id, left: view.scrollLeft + event.clientX, top: view.scrollTop + event.clientY };
        view.classList.add("graph-view--dragged");
      }
    });
    // With a key held, as for a page's zoom: the wheel alone scrolls.
    view.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const frame = view.getBoundingClientRect();
      const factor = event.deltaY < 0 ? STEP : 1 / STEP;
      const picture = view.querySelector("[data-graph-picture]");
      zoom(view, current(picture) * factor, event.clientX - frame.left, event.clientY - frame.top);
    }, { passive: false });
  }

  function prepare(isFirst) {
    for (const graph of document.querySelectorAll("[data-graph]")) {
      const view = graph.querySelector(".graph-view");
      if (graph.querySelector(".graph-tools")) continue;
      graph.querySelector(".graph-legend").append(tools(view));
      listen(view);
      apply(view.querySelector("[data-graph-picture]"));
      const marked = view.querySelector("[aria-current]");
      if (isFirst && (marked || view.scrollWidth > view.clientWidth)) {
        const start =
          marked || view.querySelector('[data-status="failed"], [data-status="running"]') || view.querySelector("[data-node]");
        if (start) reveal(view, start);
      }
    }
  }

  window.addEventListener("pointermove", (event) => {
    if (drag) document.getElementById(drag.id)?.scrollTo(drag.left - event.clientX, drag.top - event.clientY);
  });
  window.addEventListener("pointerup", () => {
    if (drag) document.getElementById(drag.id)?.classList.remove("graph-view--dragged");
    drag = null;
  });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => prepare(true));
  else prepare(true);
  document.addEventListener("live:replaced", () => prepare(false));
})();
