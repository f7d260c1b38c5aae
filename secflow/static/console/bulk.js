/* Sends the next portion of an operation on many rows until none is left. Without it the page's own button does the same. */
"use strict";

(() => {
    const page = document.getElementById("bulk");
    if (!page || page.dataset.isRunning !== "yes") return;

    const form = page.querySelector("form");
    const bar = page.querySelector("progress");
    const problem = page.querySelector(".console-bulk-problem");
    const stopButton = form.querySelector("[name=stop]");
    const PAUSE = 3_000;
    let isStopped = false;

    // What a click sends must not meet a portion that is under way: the page is left when that one is through.
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        isStopped = event.submitter === stopButton;
        if (isStopped) stopButton.disabled = true;
        if (!problem.hidden) {
            problem.hidden = true;
            goOn();
        }
    });

    function show(state) {
        for (const name of ["done", "refused", "doing", "waiting"]) {
            page.querySelector(`[data-count=${name}]`).textContent = state[name];
        }
        page.querySelector("[data-unless-zero=doing]").hidden = !state.doing;
        bar.max = state.total;
        bar.value = state.done + state.refused;
    }

    async function send(extra) {
        const body = new FormData(form);
        if (extra) body.set(extra, "yes");
        const answer = await fetch(location.href, {
            method: "POST",
            body,
            headers: { Accept: "application/json" },
            credentials: "same-origin",
        });
        if (!answer.ok || !(answer.headers.get("Content-Type") || "").startsWith("application/json")) {
            throw new Error(`status ${answer.status}`);
        }
        return answer.json();
    }

    async function goOn() {
        try {
            for (;;) {
                const state = await send(isStopped ? "stop" : null);
                show(state);
                if (state.is_over) break;
                // The rest is done by another request, which ends or is given up by the server.
                if (!state.waiting) await new Promise((resolve) => setTimeout(resolve, PAUSE));
            }
            location.reload();
        } catch {
            problem.hidden = false;
        }
    }

    goOn();
})();
