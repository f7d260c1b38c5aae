// Keeps the first page up to date: asks for its inner part every few seconds while somebody looks at it.
"use strict";

(() => {
  const PERIOD = 10_000;
  const box = document.getElementById("overview");
  if (!box) return;

  // Whoever is about to follow a link, or has marked a text, is not disturbed.
  const isInUse = () => box.contains(document.activeElement) || String(document.getSelection() ?? "") !== "";

  const refresh = async () => {
    if (document.hidden || isInUse()) return;
    try {
      const answer = await fetch(box.dataset.refresh, { credentials: "same-origin", redirect: "manual" });
      if (answer.ok && !isInUse()) box.innerHTML = await answer.text();
    } catch {
      // The server is away for a moment: the stamp on the page says how old it is, and the next turn asks again.
    }
  };

  setInterval(refresh, PERIOD);
  document.addEventListener("visibilitychange", refresh);
})();
