// The log of a node while it is written. Without this script the same forms and links open plain text.
"use strict";

(() => {
  const TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z) ?/;
  const WHOLE = 999999999; // as the number of a place: all lines of that time
  const FIRST_PAUSE = 1000;
  const LONGEST_PAUSE = 15000;
  const BUSY_PAUSE = 5000;

  class LogPanel {
    constructor(root) {
      const one = (name) => root.querySelector(`[data-log-${name}]`);
      this.url = root.dataset.logUrl;
      this.form = root.querySelector("form");
      this.lines = one("lines");
      this.note = one("note");
      this.count = one("count");
      this.pauseButton = one("pause");
      this.find = one("find");
      this.endButton = one("end");
      this.isPaused = false;
      this.sticks = true;
      this.waiting = []; // lines that are not drawn yet
      this.reading = null;
      one("tools").hidden = false;

      this.form.addEventListener("change", (event) => {
        if (event.target.name === "timestamps") this.showTimes();
        else this.start();
      });
      this.pauseButton.addEventListener("click", () => this.pause(!this.isPaused));
      this.find.addEventListener("input", () => this.filterSoon());
      this.endButton.addEventListener("click", () => this.goToEnd());
      one("wrap").addEventListener("change", (event) => {
        this.lines.classList.toggle("log-lines--wrap", event.target.checked);
      });
      this.lines.addEventListener("scroll", () => {
        const below = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight;
        this.sticks = below < 8;
        this.endButton.hidden = this.sticks;
      });
      document.addEventListener("visibilitychange", () => {
        if (!document.hidden) this.hurry();
      });
      this.watchNode();

      const shown = this.form.run.querySelector("[data-shown]");
      if (root.dataset.logActive !== "yes" && shown) {
        shown.selected = true;
        this.adopt();
      } else {
        this.start();
      }
    }

    // The text that came with the page becomes lines like all others.
    adopt() {
      const text = this.lines.textContent;
      this.lines.replaceChildren();
      this.add(text.split("\n"));
    }

    // When the node's state changes there is something to read, or something else.
    watchNode() {
      const state = () => document.querySelector("[data-node-status]")?.dataset ?? {};
      let { nodeObject, nodeStatus } = state();
      const place = document.querySelector("[data-node-status]")?.closest("[data-live]");
      if (!place) return;
      new MutationObserver(() => {
        const now = state();
        if (now.nodeObject === nodeObject && now.nodeStatus === nodeStatus) return;
        const begins = now.nodeObject && now.nodeObject !== nodeObject;
        ({ nodeObject, nodeStatus } = now);
        if (begins && !this.isLive()) {
          this.form.run.value = "";
          this.start();
        } else if (this.isLive()) {
          this.hurry();
        }
      }).observe(place, { childList: true, subtree: true });
    }

    isLive() {
      return this.form.run.value === "" && !this.form.previous.checked;
    }

    asked() {
      const query = new URLSearchParams(new FormData(this.form));
      query.delete("download");
      return query;
    }

    start() {
      this.reading?.abort();
      this.lines.replaceChildren();
      this.waiting = [];
      this.place = null;
      this.first = null;
      this.pod = null;
      this.sticks = true;
      this.tries = 0;
      if (this.isPaused) this.pause(false, { quietly: true });
      this.pauseButton.hidden = !this.isLive();
      const reading = new AbortController();
      this.reading = reading;
      const work = this.isLive() ? this.follow(reading.signal) : this.readOnce(reading.signal);
      work.catch((error) => {
        if (!reading.signal.aborted) this.say(`The log cannot be read: ${error.message}.`);
      });
    }

    pause(isPaused, { quietly = false } = {}) {
      this.isPaused = isPaused;
      this.pauseButton.textContent = isPaused ? "Go on" : "Pause";
      this.pauseButton.setAttribute("aria-pressed", String(isPaused));
      if (quietly) return;
      this.reading?.abort();
      if (isPaused) {
        this.say("Paused: lines that are written meanwhile come when it goes on.");
        return;
      }
      this.reading = new AbortController();
      const { signal } = this.reading;
      this.follow(signal).catch((error) => {
        if (!signal.aborted) this.say(`The log cannot be read: ${error.message}.`);
      });
    }

    async readOnce(signal) {
      this.say("Reading…");
      const query = this.asked();
      query.set("timestamps", "1");
      const answer = await this.fetch(query, signal);
      const text = await answer.text();
      if (signal.aborted) return;
      this.lines.replaceChildren();
      this.showText(answer, text);
    }

    // A text that was kept begins with a sentence about it in brackets. It has no times of the cluster.
    showText(answer, text) {
      if (!answer.ok) {
        this.say(text.trim());
        return;
      }
      const isKept = answer.headers.get("X-Log-State") === "kept";
      const about = isKept && /^\[(.*)\]\n\n/.exec(text);
      this.say(about ? about[1] : `From pod ${answer.headers.get("X-Log-Pod") ?? "?"}.`);
      this.add(text.slice(about ? about[0].length : 0).split("\n"), { hasTimes: !isKept });
    }

    async fetch(query, signal) {
      const answer = await fetch(`${this.url}?${query}`, { signal, headers: { Accept: "text/plain" } });
      if (!answer.headers.get("X-Log-State")) {
        throw new Error(answer.redirected ? "sign in again" : `the server answered ${answer.status}`);
      }
      return answer;
    }

    async follow(signal) {
      this.say("Reading…");
      while (!signal.aborted) {
        const query = this.asked();
        query.delete("timestamps");
        query.set("follow", "1");
        if (this.place) {
          query.set("after", this.place);
          query.set("pod", this.pod);
        }
        let outcome;
        try {
          outcome = await this.followOnce(query, signal);
        } catch (error) {
          if (signal.aborted) return;
          this.say(`The connection broke (${error.message}); it is tried again.`);
          outcome = "broken";
        }
        if (outcome === "stop" || signal.aborted) return;
        if (outcome !== "continues") await this.rest(outcome, signal);
        while (document.hidden && !signal.aborted) await this.rest("hidden", signal);
      }
    }

    // Reads one answer to its end. What follows: `continues`, `ended`, `waiting`, `busy`, `broken`, `unavailable` or `stop`.
    async followOnce(query, signal) {
      const answer = await this.fetch(query, signal);
      const state = answer.headers.get("X-Log-State");
      if (state === "busy") {
        await this.readAll(signal);
        return "busy";
      }
      if (state !== "live") {
        const text = await answer.text();
        if (state !== "kept") this.say(text.trim());
        else if (this.lines.childElementCount || this.waiting.length) this.say("The pod is gone. Its text was kept: choose it above.");
        else this.showText(answer, text);
        return { kept: "stop", refused: "stop" }[state] ?? state;
      }
      const pod = answer.headers.get("X-Log-Pod");
      if (pod !== this.pod) {
        if (this.pod) this.divide(`pod ${pod}`);
        this.pod = pod;
        this.place = null;
        this.first = null;
      }
      this.say(`Live from pod ${pod}.`);
      return this.take(answer, signal);
    }

    async take(answer, signal) {
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      let outcome = "broken";
      for (;;) {
        const { done, value } = await reader.read();
        if (done || signal.aborted) return outcome;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        const remarks = lines.filter((line) => line.startsWith(": "));
        this.add(lines.filter((line) => !line.startsWith(":")), { hasTimes: true });
        for (const remark of remarks) {
          if (remark === ": continues") outcome = "continues";
          if (remark === ": ended") {
            outcome = "ended";
            this.say(`Pod ${this.pod} has written its last line so far.`);
          }
          if (remark.startsWith(": problem ")) this.say(remark.slice(10));
        }
        if (lines.length) this.tries = 0;
      }
    }

    // Without a free place for a live log, the end of the text is read again and again.
    async readAll(signal) {
      const query = this.asked();
      query.set("timestamps", "1");
      const answer = await this.fetch(query, signal);
      const text = await answer.text();
      if (signal.aborted || !answer.ok) return;
      this.lines.replaceChildren();
      this.place = null;
      this.first = null;
      this.pod = answer.headers.get("X-Log-Pod");
      this.showText(answer, text);
      if (answer.headers.get("X-Log-State") === "kept") return;
      this.say(`Many logs are being read: this one is brought up to date every ${BUSY_PAUSE / 1000} seconds.`);
    }

    rest(why, signal) {
      const pause = why === "busy" ? BUSY_PAUSE : Math.min(FIRST_PAUSE * 2 ** this.tries, LONGEST_PAUSE);
      this.tries += 1;
      return new Promise((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          this.wake = null;
          resolve();
        };
        const timer = why === "hidden" ? undefined : setTimeout(wake, pause);
        signal.addEventListener("abort", wake, { once: true });
        this.wake = wake;
      });
    }

    hurry() {
      this.tries = 0;
      this.wake?.();
    }

    // Only what was asked for with times begins with one of the cluster: any other is the program's own.
    add(lines, { hasTimes = false } = {}) {
      if (lines.length && lines.at(-1) === "") lines = lines.slice(0, -1);
      for (const line of lines) {
        const [whole, time] = (hasTimes && TIME.exec(line)) || [""];
        if (time) this.goBehind(time);
        this.waiting.push({ time, text: line.slice(whole.length) });
      }
      this.drawSoon();
    }

    divide(divider) {
      this.waiting.push({ divider });
      this.drawSoon();
    }

    // Lines are drawn once for each picture of the screen, however many come.
    drawSoon() {
      if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
    }

    // Where to go on: the same as the server's own places.
    goBehind(time) {
      if (this.first === null) {
        this.first = time;
        this.time = time;
        this.number = WHOLE;
      } else if (time !== this.time) {
        this.time = time;
        this.number = 1;
      } else if (time !== this.first) {
        this.number += 1;
      }
      this.place = `${this.time}/${this.number}`;
    }

    draw() {
      this.frame = null;
      const most = Number(this.form.lines.value) || 1000;
      const lines = this.waiting.slice(-most);
      this.waiting = [];
      const wanted = this.find.value.toLowerCase();
      const drawn = document.createDocumentFragment();
      for (const line of lines) drawn.append(this.element(line, wanted));
      this.lines.append(drawn);
      for (let over = this.lines.childElementCount - most; over > 0; over -= 1) this.lines.firstElementChild.remove();
      this.tell();
      if (this.sticks) this.goToEnd();
    }

    element(line, wanted) {
      const row = document.createElement("div");
      if (line.divider) {
        row.className = "log-divider";
        row.textContent = line.divider;
        return row;
      }
      row.className = "log-line";
      if (line.time) {
        const stamp = document.createElement("time");
        stamp.textContent = `${line.time.slice(0, 19).replace("T", " ")} `;
        stamp.dateTime = line.time;
        row.append(stamp);
      }
      const text = document.createElement("span");
      text.textContent = line.text;
      row.append(text);
      if (wanted) this.mark(row, wanted);
      return row;
    }

    // Hides a line without the words that are looked for, and marks them in the others.
    mark(row, wanted) {
      const text = row.lastElementChild;
      if (!text || row.className === "log-divider") return;
      const words = text.textContent;
      const parts = [];
      let from = 0;
      const lower = words.toLowerCase();
      // A few letters get longer as small ones: positions would be wrong, so such a line is only found.
      const fits = lower.length === words.length;
      let at = wanted ? lower.indexOf(wanted) : -1;
      row.hidden = Boolean(wanted) && at < 0;
      while (fits && at >= 0) {
        const found = document.createElement("mark");
        found.textContent = words.slice(at, at + wanted.length);
        parts.push(words.slice(from, at), found);
        from = at + wanted.length;
        at = lower.indexOf(wanted, from);
      }
      text.replaceChildren(...parts, words.slice(from));
    }

    filterSoon() {
      clearTimeout(this.filtering);
      this.filtering = setTimeout(() => {
        const wanted = this.find.value.toLowerCase();
        for (const row of this.lines.children) this.mark(row, wanted);
        this.tell();
        if (this.sticks) this.goToEnd();
      }, 150);
    }

    tell() {
      const all = this.lines.querySelectorAll(".log-line").length;
      const found = this.lines.querySelectorAll(".log-line:not([hidden])").length;
      const counted = `${all.toLocaleString("en")} line${all === 1 ? "" : "s"}`;
      this.count.textContent = this.find.value ? `${found.toLocaleString("en")} of ${counted}` : counted;
    }

    showTimes() {
      this.lines.classList.toggle("log-lines--times", this.form.timestamps.checked);
    }

    goToEnd() {
      this.lines.scrollTop = this.lines.scrollHeight;
      this.sticks = true;
      this.endButton.hidden = true;
    }

    say(sentence) {
      if (this.note.textContent !== sentence) this.note.textContent = sentence;
    }
  }

  function begin() {
    for (const root of document.querySelectorAll(".log-panel")) new LogPanel(root);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
