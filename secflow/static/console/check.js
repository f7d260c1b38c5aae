// Shows what the server would refuse of a form, beside the inputs, while somebody types. Saving shows the same sentences.

const PAUSE = 400;

for (const body of document.querySelectorAll("[data-check]")) {
  const form = body.closest("form");
  const summary = body.querySelector("[data-problems]");
  const touched = new Set();
  let timer = 0;
  let asked = null;

  const inputsOf = (name) => form.querySelectorAll(`[name="${CSS.escape(name)}"]`);

  const show = (problems) => {
    const byField = Map.groupBy ? Map.groupBy(problems, (item) => item.field) : grouped(problems);
    for (const place of body.querySelectorAll("[data-error-of]")) {
      const name = place.dataset.errorOf;
      const found = byField.get(name) ?? [];
      const inputs = inputsOf(name);
      // What nobody has come to yet is not wrong, only not done.
      const isShown = found.length > 0 && (inputs.length === 0 || touched.has(name) || !place.hidden);
      place.textContent = isShown ? found.map((item) => item.message).join("; ") : "";
      place.hidden = !isShown;
      for (const input of inputs) {
        if (isShown) input.setAttribute("aria-invalid", "true");
        else input.removeAttribute("aria-invalid");
      }
      place.closest(".console-field")?.classList.toggle("console-field--wrong", isShown);
    }
    // What has no place on this page is said above the form.
    const isPlaced = (item) => item.field && body.querySelector(`[data-error-of="${CSS.escape(item.field)}"]`);
    const general = problems.filter((item) => !isPlaced(item));
    const open = [...byField.keys()].filter((name) => name && inputsOf(name).length).length;
    const lines = general.map((item) => item.message);
    if (open) lines.push(open === 1 ? "One input still needs something." : `${open} inputs still need something.`);
    summary.replaceChildren(
      ...lines.map((text, place) => {
        const line = document.createElement("p");
        line.className = place < general.length ? "console-error" : "console-help";
        line.textContent = text;
        return line;
      }),
    );
  };

  const grouped = (problems) => {
    const found = new Map();
    for (const item of problems) found.set(item.field, [...(found.get(item.field) ?? []), item]);
    return found;
  };

  const check = async () => {
    asked?.abort();
    asked = new AbortController();
    try {
      const answer = await fetch(body.dataset.check, {
        method: "POST",
        body: new FormData(form),
        headers: { Accept: "application/json" },
        signal: asked.signal,
      });
      if (!answer.ok) return;
      const { problems } = await answer.json();
      show(problems);
    } catch (error) {
      // A newer question took its place, or the server cannot be reached: saving will tell.
      if (error.name !== "AbortError") summary.replaceChildren();
    }
  };

  const soon = () => {
    // An answer to what stood there before would be about something else.
    asked?.abort();
    clearTimeout(timer);
    timer = setTimeout(check, PAUSE);
  };

  form.addEventListener("input", (event) => {
    touched.add(event.target.name);
    soon();
  });
  form.addEventListener("change", (event) => {
    if (event.target.name) touched.add(event.target.name);
    soon();
  });
  form.addEventListener("focusout", (event) => {
    if (event.target.name) touched.add(event.target.name);
  });
}
